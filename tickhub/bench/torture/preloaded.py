"""Loads what every process of the system needs, once: processes are then forked from it in milliseconds."""

import importlib

import django

django.setup()
# Loaded for the processes to come; nothing here opens a connection.
for _name in ("tickhub.celery", "tickhub.tasks", "tickhub.capturing", "celery.bin.celery", "celery.apps.worker"):
    importlib.import_module(_name)
for _name in ("celery.worker.consumer", "celery.beat", "django_celery_beat.schedulers", "kombu.transport.redis"):
    importlib.import_module(_name)
for _name in ("celery.concurrency.prefork", "tickhub.management.commands.poll", "django.core.management"):
    importlib.import_module(_name)
