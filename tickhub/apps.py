"""The wiring's Django app: loads Celery and registers the system checks."""

from django.apps import AppConfig


class TickhubConfig(AppConfig):
    name = "tickhub"
    verbose_name = "tickhub"

    def ready(self) -> None:
        # Imported here: an empty tickhub/__init__.py keeps tickhub.core free of Django and Celery.
        from tickhub import celery, checks  # noqa: F401
