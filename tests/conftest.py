"""Fixtures for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from storage import latest, partitions
from tickhub import disk, pipeline

RECORDINGS = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture
def database(transactional_db: None) -> Iterator[None]:
    """Give a test the real database, with real commits, and empty tables and caches."""
    _empty()
    _guard_audit("ENABLE")
    yield
    _empty()
    # The next step empties every table, this one too.
    _guard_audit("DISABLE")


def _guard_audit(how: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE audit_entry {how} TRIGGER audit_entry_only_grows")


def _empty() -> None:
    partitions.forget()
    pipeline.forget_facts()
    disk.forget_guard()
    latest.client().flushdb()
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'tick'::regclass")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE {name}")
        cursor.execute("DELETE FROM storage_partition")
        cursor.execute("TRUNCATE batch_payload")


def recording(name: str) -> Path:
    """Return a real recording's path; skips the test where the folder is absent."""
    path = RECORDINGS / name
    if not path.exists():
        pytest.skip(f"the real recordings are not beside the project: {path.name} is absent")
    return path
