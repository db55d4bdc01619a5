"""Hours of feeds, and up to where they are examined. Sole writer of both tables."""

from collections.abc import Sequence

from django.db import connection

from quality import arrivals, gaps
from quality.gaps import Kind, Stretch
from quality.models import Examination, FeedHour
from tickhub.core.ticks import Int64s


def begin(*, source_id: int, first_hour: int) -> int:
    """Lock a source's examination within the caller's transaction; return the hour to go on with."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quality_examination (source_id, next_hour) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [source_id, first_hour],
        )
    return Examination.objects.select_for_update().get(pk=source_id).next_hour


def record(*, feed_id: int, hour: int, times_msc: Int64s, session_ms: int, stretches: Sequence[Stretch]) -> None:
    """Write what arrived in an hour, ascending UTC times, and how much of its time in session is missing.

    Once more where it is known; in the caller's transaction. What was closed or lost teaches no habit.
    """
    explained = [gap.from_msc for gap in stretches if gap.kind in (Kind.CLOSED, Kind.DISCONNECTED)]
    values = {
        "ticks": len(times_msc),
        "usual_gap_ms": arrivals.usual_gap_ms(times_msc, explained_msc=explained),
        "session_ms": session_ms,
        "missing_ms": gaps.missing_ms(stretches),
    }
    FeedHour.objects.update_or_create(feed_id=feed_id, hour=hour, defaults=values)


def advance(*, source_id: int, next_hour: int) -> None:
    """Note that the hours of a source before ``next_hour`` are examined, in the caller's transaction."""
    Examination.objects.filter(pk=source_id).update(next_hour=next_hour)
