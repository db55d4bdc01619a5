"""Hours that are to be looked at again, as something about them has changed. Sole writer of its table.

A change notes its hours in its own transaction; who has looked at them takes them off in the one that tells what was
found. A change that commits meanwhile has rows of its own, which stay.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import connection
from django.db.models import F, QuerySet

from quality.models import DueHours
from tickhub.core.clock import EARLIEST_MSC, HOUR_MS, LATEST_MSC

EXAMINE = DueHours.Work.EXAMINE.value
CERTIFY = DueHours.Work.CERTIFY.value
# What a calendar date can express. Ticks that claim times beyond are held: no such hour is examined or certified.
_FIRST_HOUR, _END_HOUR = EARLIEST_MSC // HOUR_MS, LATEST_MSC // HOUR_MS


@dataclass(frozen=True, slots=True)
class Due:
    """Hours (UTC, since 1970) ``[from_hour, to_hour)`` that are due."""

    id: int
    from_hour: int
    to_hour: int


def note(
    work: str,
    *,
    source_id: int,
    feed_ids: Iterable[int] | None,
    hours: Iterable[tuple[int, int]],
    of_batch_id: int | None = None,
) -> None:
    """Note runs of hours ``[from_hour, to_hour)`` in the caller's transaction, for each of some feeds.

    Of :data:`EXAMINE`, which is done for all feeds of a source at once, ``feed_ids`` is None. Hours beyond any date
    are left out. With ``of_batch_id`` nothing is noted unless the hours that batches reach were noted past that one:
    of a later one they will be.
    """
    feeds = [None] if feed_ids is None else list(feed_ids)
    runs = joined((max(low, _FIRST_HOUR), min(high, _END_HOUR)) for low, high in hours)
    rows = [(feed_id, low, high) for feed_id in feeds for low, high in runs]
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quality_duehours (work, source_id, feed_id, from_hour, to_hour)"
            " SELECT %s, %s, n.feed_id, n.low, n.high FROM unnest(%s::int2[], %s::int4[], %s::int4[])"
            " AS n (feed_id, low, high) WHERE %s::int8 IS NULL OR EXISTS"
            " (SELECT FROM quality_certification WHERE source_id = %s AND through_batch_id >= %s)",
            [
                work,
                source_id,
                [feed_id for feed_id, _, _ in rows],
                [low for _, low, _ in rows],
                [high for _, _, high in rows],
                of_batch_id,
                source_id,
                of_batch_id,
            ],
        )


# So many rows are looked at in one transaction: thousands of changes may have noted one hour.
_AT_ONCE = 5_000


def of_source(*, source_id: int) -> list[Due]:
    """Return the hours of a source that are due to be examined: short runs first, so that none waits for a history."""
    return _first(DueHours.objects.filter(work=EXAMINE, source_id=source_id))


def of_feed(*, feed_id: int) -> list[Due]:
    """Return the hours of a feed that are due to be certified, short runs first."""
    return _first(DueHours.objects.filter(work=CERTIFY, feed_id=feed_id))


def _first(rows: QuerySet[DueHours]) -> list[Due]:
    rows = rows.order_by(F("to_hour") - F("from_hour"), "pk")
    return [Due(*row) for row in rows.values_list("pk", "from_hour", "to_hour")[:_AT_ONCE]]


def advance(dues: Iterable[tuple[Due, int]]) -> None:
    """Take the hours before the one that stands beside each run off, in the caller's transaction."""
    ended: list[int] = []
    moved: dict[int, list[int]] = {}
    for due, to_hour in dues:
        if to_hour >= due.to_hour:
            ended.append(due.id)
        elif to_hour > due.from_hour:
            moved.setdefault(to_hour, []).append(due.id)
    DueHours.objects.filter(pk__in=ended).delete()
    for to_hour, ids in moved.items():
        DueHours.objects.filter(pk__in=ids).update(from_hour=to_hour)


def joined(hours: Iterable[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Return runs ``[from_hour, to_hour)``, or other periods, ascending, those that touch made one."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(hours):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        elif low < high:
            found.append((low, high))
    return found
