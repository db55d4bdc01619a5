"""The wiring's Django app: loads Celery, registers the system checks, and writes beat's schedule after migrations."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class TickhubConfig(AppConfig):
    name = "tickhub"
    verbose_name = "tickhub"

    def ready(self) -> None:
        # Imported here: an empty tickhub/__init__.py keeps tickhub.core free of Django and Celery.
        from tickhub import celery, checks  # noqa: F401

        post_migrate.connect(_write_schedule, sender=apps.get_app_config("django_celery_beat"))


def _write_schedule(**_: object) -> None:
    """Write the schedule once its tables are there, so that beat never runs without the sweeper."""
    from tickhub import schedule

    schedule.synchronise()
