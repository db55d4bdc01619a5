"""The Django app of storage."""

from django.apps import AppConfig


class StorageConfig(AppConfig):
    name = "storage"
    verbose_name = "Storage"

    def ready(self) -> None:
        """Teach psycopg our arrays before the first connection: each one copies what is known when it is made."""
        from storage import arrays  # noqa: F401 - for its effect
