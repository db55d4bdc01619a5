"""Daily partitions of the tick table, made before the transaction that needs them. Sole writer of the register."""

import datetime as dt
from collections.abc import Iterable

from django.db import connection, transaction

from storage.models import Partition
from tickhub.core.clock import DAY_MS

_LOCK = 0x7469636B03
# Days (since 1970) that this process knows to have a partition.
_known: set[int] = set()


def ensure(days: Iterable[int], *, earliest_day: int, latest_day: int) -> None:
    """Make the partitions of UTC days (since 1970) that lack one; days outside the plausible window make none.

    Runs in its own transactions, one for each day, under an advisory lock and a lock timeout of 4 s.
    """
    for day in missing(days, earliest_day=earliest_day, latest_day=latest_day):
        _create(day)
        _known.add(day)


def missing(days: Iterable[int], *, earliest_day: int, latest_day: int) -> list[int]:
    """Return the days within the plausible window that this process does not know to have a partition."""
    return sorted(day for day in set(days) - _known if earliest_day <= day <= latest_day)


def forget() -> None:
    """Forget what this process knows, after a partition turned out to be missing."""
    _known.clear()


def table_name(day: int) -> str:
    """Return the name of a day's partition."""
    return f"tick_{dt.date(1970, 1, 1) + dt.timedelta(days=day):%Y%m%d}"


def _create(day: int) -> None:
    name = table_name(day)
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '4s'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        date = dt.date(1970, 1, 1) + dt.timedelta(days=day)
        if Partition.objects.filter(day=date).exists():
            return
        low, high = day * DAY_MS, (day + 1) * DAY_MS
        cursor.execute(f"CREATE TABLE {name} (LIKE tick INCLUDING ALL)")
        # The check spares ATTACH its scan; afterwards the partition bound says the same.
        cursor.execute(f"ALTER TABLE {name} ADD CONSTRAINT {name}_day CHECK (time_msc >= {low} AND time_msc < {high})")
        cursor.execute(f"ALTER TABLE tick ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({high})")
        cursor.execute(f"ALTER TABLE {name} DROP CONSTRAINT {name}_day")
        Partition.objects.create(day=date, table_name=name)
