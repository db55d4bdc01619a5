"""Daily partitions of the tick table, made before the transaction that needs them. Sole writer of the register."""

import datetime as dt
from collections.abc import Collection, Iterable

from django.db import connection, transaction

from storage.models import Partition
from tickhub.core.clock import DAY_MS, EARLIEST_MSC, LATEST_MSC

_LOCK = 0x7469636B03
_EPOCH = dt.date(1970, 1, 1)
# Days (since 1970) that this process knows to have a partition.
_known: set[int] = set()


def ensure(days: Collection[int], *, earliest_day: int, latest_day: int, new_most: int | None = None) -> list[int]:
    """Make the partitions of UTC days (since 1970) that lack one; days outside the plausible window make none.

    Of more than ``new_most`` new ones those named first are made; return the days left without one. Runs in its own
    transactions, one for each day, under an advisory lock and a lock timeout of 4 s.
    """
    plausible = set(missing(days, earliest_day=earliest_day, latest_day=latest_day))
    _known.update(_registered(plausible))
    new = [day for day in dict.fromkeys(days) if day in plausible - _known]
    for day in new[:new_most]:
        _create(day)
        _known.add(day)
    return new[len(new) if new_most is None else new_most :]


def missing(days: Iterable[int], *, earliest_day: int, latest_day: int) -> list[int]:
    """Return the days within the plausible window that this process does not know to have a partition."""
    return sorted(day for day in set(days) - _known if earliest_day <= day <= latest_day)


def days() -> list[int]:
    """Return the UTC days (since 1970) that have a partition, ascending."""
    return sorted((day - _EPOCH).days for day in Partition.objects.values_list("day", flat=True))


def existing(days: Iterable[int]) -> set[int]:
    """Return the days (since 1970) that have a partition; those that no calendar holds have none."""
    return set(_registered(day for day in days if EARLIEST_MSC // DAY_MS <= day < LATEST_MSC // DAY_MS))


def forget() -> None:
    """Forget what this process knows, after a partition turned out to be missing."""
    _known.clear()


def table_name(day: int) -> str:
    """Return the name of a day's partition."""
    return f"tick_{_date(day):%Y%m%d}"


def _date(day: int) -> dt.date:
    return _EPOCH + dt.timedelta(days=day)


def _registered(days: Iterable[int]) -> list[int]:
    found = Partition.objects.filter(day__in=[_date(day) for day in days]).order_by("day").values_list("day", flat=True)
    return [(date - _EPOCH).days for date in found]


def _create(day: int) -> None:
    name, date = table_name(day), _date(day)
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '4s'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        if Partition.objects.filter(day=date).exists():
            return
        low, high = day * DAY_MS, (day + 1) * DAY_MS
        cursor.execute(f"CREATE TABLE {name} (LIKE tick INCLUDING ALL)")
        # The check spares ATTACH its scan; afterwards the partition bound says the same.
        cursor.execute(f"ALTER TABLE {name} ADD CONSTRAINT {name}_day CHECK (time_msc >= {low} AND time_msc < {high})")
        cursor.execute(f"ALTER TABLE tick ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({high})")
        cursor.execute(f"ALTER TABLE {name} DROP CONSTRAINT {name}_day")
        Partition.objects.create(day=date, table_name=name)
