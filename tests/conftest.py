"""Fixtures for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection, connections, transaction
from pytest_django import DjangoDbBlocker

from storage import latest, partitions
from tickhub import disk, judging

RECORDINGS = Path(__file__).resolve().parents[1].parent / "shared" / "data"


# Written by migrations and what follows them, and by nothing that a test does.
_KEPT = frozenset({"django_migrations", "django_content_type", "auth_permission"})
_KEPT_OF = "django_celery_beat_"


@pytest.fixture
def transactional_db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Open the real database to a test; pytest-django's own would truncate every table after it, for 0.4 s."""
    with django_db_blocker.unblock():
        yield
        connections.close_all()


@pytest.fixture
def database(transactional_db: None) -> Iterator[None]:
    """Give a test the real database, with real commits, and empty tables and caches."""
    _empty()
    yield
    _empty()


def _empty() -> None:
    partitions.forget()
    judging.forget()
    disk.forget_guard()
    latest.client().flushdb()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'tick'::regclass")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE {name}")
        cursor.execute("TRUNCATE batch_payload")
        # Neither foreign keys nor the audit's guard are asked: every table is emptied.
        # Deleting a test's few rows takes a tenth of the time of truncating fifty tables.
        cursor.execute("SET LOCAL session_replication_role = replica")
        names = [
            name
            for name in connection.introspection.table_names(cursor)
            if name not in _KEPT and not name.startswith(_KEPT_OF)
        ]
        cursor.execute("; ".join(f'DELETE FROM "{name}"' for name in names))


def recording(name: str) -> Path:
    """Return a real recording's path; skips the test where the folder is absent."""
    path = RECORDINGS / name
    if not path.exists():
        pytest.skip(f"the real recordings are not beside the project: {path.name} is absent")
    return path
