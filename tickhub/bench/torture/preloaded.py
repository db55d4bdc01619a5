"""Loads what every process of the system needs, once: processes are then forked from it in milliseconds."""

import django

django.setup()
# Loaded for the processes to come, after the settings; nothing here opens a connection.
import django.core.management  # noqa: E402
import kombu.transport.redis  # noqa: E402, F401

import tickhub.capturing  # noqa: E402
import tickhub.celery  # noqa: E402
import tickhub.management.commands.poll  # noqa: E402
import tickhub.tasks  # noqa: E402, F401
