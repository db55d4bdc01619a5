"""The bytes of batches: daily partitions of ``batch_payload`` by day of capture, dropped whole."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction
from psycopg import Cursor
from psycopg.rows import TupleRow

# Partitions that this process knows to exist.
_known: set[dt.date] = set()
_LOCK = 0x7469636B01


@dataclass(frozen=True, slots=True)
class Payload:
    """The raw bytes of one batch, in the terminal's clock."""

    ticks: bytes
    marks: bytes
    context: bytes


def ensure_partition(day: dt.date) -> None:
    """Make the day's partition, and the next day's, unless they exist. Opens its own transaction."""
    if day in _known:
        return
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '4s'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        for start in (day, day + dt.timedelta(days=1)):
            end = start + dt.timedelta(days=1)
            name = f"batch_payload_{start:%Y%m%d}"
            cursor.execute("SELECT to_regclass(%s) IS NULL", [name])
            (is_missing,) = cursor.fetchone()
            if is_missing:
                cursor.execute(
                    f"CREATE TABLE {name} PARTITION OF batch_payload FOR VALUES FROM ('{start}') TO ('{end}')"
                )
    _known.add(day)


@contextmanager
def binary_cursor() -> Iterator[Cursor[TupleRow]]:
    """Give a cursor of Django's own connection that fetches bytes as they are; its errors are Django's too.

    Django's cursors fetch text, in which every byte travels as two digits.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors:
        # Not closed: nothing is kept for it at the server, and its answer may be read after this block.
        yield connection.connection.cursor(binary=True)
