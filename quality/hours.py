"""Hours of feeds, how feeds agree in them, and up to where they are examined. Sole writer of these tables."""

from collections.abc import Sequence

from django.db import connection
from django.db.models import Q

from quality import arrivals, gaps
from quality.agreement import Agreement
from quality.gaps import Kind, Stretch
from quality.models import Examination, FeedAgreement, FeedHour, Gap
from tickhub.core.calendars import Calendar
from tickhub.core.clock import HOUR_MS
from tickhub.core.ticks import Int64s


def begin(*, source_id: int, first_hour: int) -> int:
    """Lock a source's examination within the caller's transaction; return the hour to go on with."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quality_examination (source_id, next_hour) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [source_id, first_hour],
        )
    return Examination.objects.select_for_update().get(pk=source_id).next_hour


def label_of(calendar: Calendar | None) -> str:
    """Return the name under which an hour keeps the calendar that it was examined by."""
    return "" if calendar is None else calendar.label


def record(
    *,
    feed_id: int,
    hour: int,
    calendar: Calendar | None,
    times_msc: Int64s,
    session_ms: int,
    stretches: Sequence[Stretch],
) -> bool:
    """Write what arrived in an hour, ascending UTC times, and how much of its time in session is missing.

    Once more where it is known; in the caller's transaction. What was closed or lost teaches no habit. Return whether
    the hour was not known.
    """
    explained = [gap.from_msc for gap in stretches if gap.kind in (Kind.CLOSED, Kind.DISCONNECTED)]
    values = {
        "ticks": len(times_msc),
        "calendar": label_of(calendar),
        "usual_gap_ms": arrivals.usual_gap_ms(times_msc, explained_msc=explained),
        "session_ms": session_ms,
        "missing_ms": gaps.missing_ms(stretches),
    }
    _, is_new = FeedHour.objects.update_or_create(feed_id=feed_id, hour=hour, defaults=values)
    # What was compared with other feeds was of other ticks, perhaps. Behind the lock of the hour's row.
    FeedAgreement.objects.filter(Q(feed_id=feed_id) | Q(other_id=feed_id), hour=hour).delete()
    return is_new


def lock(*, feed_ids: Sequence[int], hour: int) -> None:
    """Lock an hour of feeds in the caller's transaction."""
    list(FeedHour.objects.select_for_update().filter(feed_id__in=feed_ids, hour=hour).order_by("feed_id"))


def forget(*, feed_ids: list[int], from_hour: int, to_hour: int) -> None:
    """Delete hours ``[from_hour, to_hour)`` of feeds and their gaps, in the caller's transaction: their ticks have
    other times now."""
    within = Q(hour__gte=from_hour, hour__lt=to_hour)
    FeedAgreement.objects.filter(within & (Q(feed_id__in=feed_ids) | Q(other_id__in=feed_ids))).delete()
    FeedHour.objects.filter(within, feed_id__in=feed_ids).delete()
    Gap.objects.filter(feed_id__in=feed_ids, from_msc__gte=from_hour * HOUR_MS, from_msc__lt=to_hour * HOUR_MS).delete()


def advance(*, source_id: int, next_hour: int) -> None:
    """Note that the hours of a source before ``next_hour`` are examined, in the caller's transaction."""
    Examination.objects.filter(pk=source_id).update(next_hour=next_hour)


def turn_back(*, source_id: int, next_hour: int) -> None:
    """Note that hours of a source from ``next_hour`` on are not examined, in the caller's transaction."""
    Examination.objects.filter(pk=source_id, next_hour__gt=next_hour).update(next_hour=next_hour)


def record_agreement(*, feed_id: int, other_id: int, hour: int, agreement: Agreement, is_judged: bool) -> None:
    """Write how two feeds agreed in an hour, once; in the caller's transaction."""
    FeedAgreement.objects.update_or_create(
        feed_id=feed_id,
        other_id=other_id,
        hour=hour,
        defaults={
            "compared_s": agreement.compared_s,
            "disagreeing_s": agreement.disagreeing_s,
            "worst_points": agreement.worst_points,
            "band_points": agreement.band_points if is_judged else None,
            "first_msc": agreement.first_msc,
        },
    )
