"""Reads of findings, incidents, quarantine, thresholds, examined hours and gaps."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from django.db import connection
from django.db.models import F, Max, Min, Q, QuerySet, Sum, Value

from quality import arrivals, rules
from quality.completeness import Hour
from quality.gaps import MISSING
from quality.models import Examination, FeedAgreement, FeedHour, Gap, Incident, QuarantinedTick, Threshold
from quality.rules import Row, Version
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Int64s, Mask, Ticks


def held(*, feed_id: int, from_msc: int, to_msc: int, in_utc: bool = False) -> tuple[Ticks, Int64s]:
    """Return the held ticks of a feed within ``[from_msc, to_msc)`` (UTC), by key, in the terminal's clock or in UTC.

    With them the batch of each, shape (n,), int64.
    """
    rows = list(
        QuarantinedTick.objects.filter(feed_id=feed_id, time_msc__gte=from_msc, time_msc__lt=to_msc)
        .exclude(state=QuarantinedTick.State.RELEASED)
        .order_by("time_msc", "seq", "id")
        .values_list("record", "batch_id", "offset_ms")
    )
    ticks = tick_arrays.from_bytes(b"".join(bytes(record) for record, _, _ in rows))
    if in_utc:
        ticks = tick_arrays.shift_each(ticks, -np.array([offset_ms for *_, offset_ms in rows], dtype=np.int64))
    return ticks, np.array([batch_id for _, batch_id, _ in rows], dtype=np.int64)


def held_of_batch(*, batch_id: int, feed_id: int, from_msc: int, to_msc: int) -> Ticks:
    """Return what the quarantine still holds of one batch and feed within ``[from_msc, to_msc)``, all in UTC."""
    rows = list(
        QuarantinedTick.objects.filter(batch_id=batch_id, feed_id=feed_id, time_msc__gte=from_msc, time_msc__lt=to_msc)
        .exclude(state=QuarantinedTick.State.RELEASED)
        .order_by("id")
        .values_list("record", "offset_ms")
    )
    ticks = tick_arrays.from_bytes(b"".join(bytes(record) for record, _ in rows))
    return tick_arrays.shift_each(ticks, -np.array([offset_ms for _, offset_ms in rows], dtype=np.int64))


def held_places(*, batch_id: int) -> tuple[Int64s, Int64s]:
    """Return the places in their batch, and the flags, of its ticks in quarantine that nobody has released.

    Those that a correction of the clock put there, whose places are not known, are left out.
    """
    rows = QuarantinedTick.objects.filter(batch_id=batch_id, position__gte=0)
    found = rows.exclude(state=QuarantinedTick.State.RELEASED).order_by("position").values_list("position", "quality")
    numbers = np.array(list(found), dtype=np.int64).reshape(-1, 2)
    return numbers[:, 0], numbers[:, 1]


def earliest_held(*, feed_ids: Collection[int], from_msc: int) -> int | None:
    """Return the time of the first tick of feeds from an instant on that came to quarantine, UTC milliseconds."""
    rows = QuarantinedTick.objects.filter(feed_id__in=feed_ids, time_msc__gte=from_msc)
    return rows.aggregate(first=Min("time_msc"))["first"]


def batches_of(*, row_ids: list[int]) -> dict[int, list[int]]:
    """Return rows of the quarantine by their batch, both ascending."""
    found: dict[int, list[int]] = {}
    rows = QuarantinedTick.objects.filter(pk__in=row_ids).order_by("batch_id", "pk")
    for batch_id, row_id in rows.values_list("batch_id", "pk"):
        found.setdefault(batch_id, []).append(row_id)
    return found


def batches_with_released(*, feed_ids: list[int], from_msc: int, to_msc: int) -> list[int]:
    """Return the batches with ticks of feeds within ``[from_msc, to_msc)`` (UTC) that were released."""
    rows = QuarantinedTick.objects.filter(
        state=QuarantinedTick.State.RELEASED,
        feed_id__in=feed_ids,
        time_msc__gte=from_msc,
        time_msc__lt=to_msc,
    )
    return list(rows.order_by("batch_id").values_list("batch_id", flat=True).distinct())


def feed_of(*, row_id: int) -> int:
    """Return the feed of a row of the quarantine.

    :raises QuarantinedTick.DoesNotExist: if there is none
    """
    return QuarantinedTick.objects.values_list("feed_id", flat=True).get(pk=row_id)


def rows_of_key(*, feed_id: int, time_msc: int, seq: int) -> list[QuarantinedTick]:
    """Return the rows of the quarantine of one key, of whatever state, oldest first."""
    rows = QuarantinedTick.objects.filter(feed_id=feed_id, time_msc=time_msc).order_by("id")
    return list(rows.filter(Q(seq=seq) | Q(stored_seq=seq)))


def rows_around(*, feed_id: int, time_msc: int, seq: int, period: tuple[int, int], count: int) -> list[QuarantinedTick]:
    """Return up to ``count`` rows of a feed on each side of a key, those with the key itself among them.

    Whatever their state; ``period`` is half-open, UTC.
    """
    rows = QuarantinedTick.objects.filter(feed_id=feed_id, time_msc__gte=period[0], time_msc__lt=period[1])
    is_before = Q(time_msc__lt=time_msc) | Q(time_msc=time_msc, seq__lt=seq)
    before = list(rows.filter(is_before).order_by("-time_msc", "-seq", "-id")[:count])
    behind = list(rows.exclude(is_before).order_by("time_msc", "seq", "id")[:count])
    return before[::-1] + behind


@dataclass(frozen=True, slots=True)
class HeldRows:
    """Rows of the quarantine that were not released, in UTC, as columns; ``is_rejected``: somebody refused them."""

    row_id: Int64s
    ticks: Ticks
    seq: Int64s
    quality: Int64s
    batch_id: Int64s
    feed_id: Int64s
    offset_ms: Int64s
    is_rejected: Mask


def held_rows(*, feed_ids: list[int], from_msc: int, to_msc: int) -> HeldRows:
    """Return what the quarantine holds of feeds within ``[from_msc, to_msc)`` (UTC), by id."""
    rows = list(
        QuarantinedTick.objects.filter(feed_id__in=feed_ids, time_msc__gte=from_msc, time_msc__lt=to_msc)
        .exclude(state=QuarantinedTick.State.RELEASED)
        .order_by("id")
        .values_list("id", "seq", "quality", "batch_id", "feed_id", "offset_ms", "state", "record")
    )
    numbers = np.array([row[:6] for row in rows], dtype=np.int64).reshape(-1, 6)
    ticks = tick_arrays.from_bytes(b"".join(bytes(row[7]) for row in rows))
    return HeldRows(
        row_id=numbers[:, 0],
        ticks=tick_arrays.shift_each(ticks, -numbers[:, 5]),
        seq=numbers[:, 1],
        quality=numbers[:, 2],
        batch_id=numbers[:, 3],
        feed_id=numbers[:, 4],
        offset_ms=numbers[:, 5],
        is_rejected=np.array([row[6] == QuarantinedTick.State.REJECTED for row in rows], dtype=bool),
    )


def thresholds(*, up_to: int | None = None) -> Version:
    """Return the thresholds in force, or those that were with row ``up_to`` as the newest."""
    found = Threshold.objects.order_by("pk")
    if up_to is not None:
        found = found.filter(pk__lte=up_to)
    columns = ("pk", "instrument_id", "group", "name", "effect", "value")
    return rules.version_of(Row(*row) for row in found.values_list(*columns))


def next_hour(*, source_id: int) -> int | None:
    """Return the first UTC hour of a source that is not examined; None where none is."""
    return Examination.objects.filter(pk=source_id).values_list("next_hour", flat=True).first()


def not_compared(*, limit: int) -> list[tuple[int, int, int]]:
    """Return pairs of feeds of one instrument and examined hours in which both have ticks that are not compared yet,
    ``(feed, other, hour)``, the newest hours first; of the last 31 days that each feed was examined."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.feed_id, b.feed_id, a.hour FROM quality_feedhour a JOIN reference_feed fa ON fa.id = a.feed_id"
            " JOIN LATERAL (SELECT max(hour) - 744 AS hour FROM quality_feedhour WHERE feed_id = fa.id) since"
            " ON a.hour > since.hour"
            " JOIN reference_feed fb ON fb.instrument_id = fa.instrument_id AND fb.id > fa.id"
            " JOIN quality_feedhour b ON b.feed_id = fb.id AND b.hour = a.hour"
            " LEFT JOIN quality_feedagreement g ON g.feed_id = a.feed_id AND g.other_id = b.feed_id AND g.hour = a.hour"
            " WHERE g.id IS NULL AND a.ticks > 0 AND b.ticks > 0 ORDER BY a.hour DESC, 1, 2 LIMIT %s",
            [limit],
        )
        return [(int(feed_id), int(other_id), int(hour)) for feed_id, other_id, hour in cursor.fetchall()]


def newest_agreement(*, feed_id: int, other_id: int) -> FeedAgreement | None:
    """Return how two feeds agreed in the newest hour in which they were compared in any second."""
    rows = FeedAgreement.objects.filter(feed_id=feed_id, other_id=other_id, compared_s__gt=0)
    return rows.order_by("-hour").first()


def compared(*, feed_id: int, from_hour: int, to_hour: int) -> dict[int, tuple[int, int]]:
    """Return in how many seconds of each hour of ``[from_hour, to_hour)`` a feed was compared, and disagreed, with
    others; where the check is off, in none."""
    rows = FeedAgreement.objects.filter(Q(feed_id=feed_id) | Q(other_id=feed_id), hour__gte=from_hour, hour__lt=to_hour)
    sums = rows.exclude(band_points=None).order_by("hour").values("hour")
    found = sums.annotate(of=Sum("compared_s"), bad=Sum("disagreeing_s")).values_list("hour", "of", "bad")
    return {hour: (of, bad) for hour, of, bad in found}


def first_examined(*, source_id: int) -> int | None:
    """Return the first examined UTC hour (since 1970) of a source, None where there is none."""
    found = FeedHour.objects.filter(feed__source_id=source_id).aggregate(first=Min("hour"))
    return found["first"]


def examined_otherwise(*, feed_id: int, calendar: str) -> list[tuple[int, int]]:
    """Return the run ``[from_hour, to_hour)`` of a feed's hours that were examined by another calendar, if any."""
    rows = FeedHour.objects.filter(feed_id=feed_id).exclude(calendar=calendar)
    found = rows.aggregate(first=Min("hour"), last=Max("hour"))
    return [] if found["first"] is None else [(found["first"], found["last"] + 1)]


def examined_hours(*, feed_id: int, from_hour: int, to_hour: int) -> set[int]:
    """Return the hours of a feed within ``[from_hour, to_hour)`` that are examined."""
    rows = FeedHour.objects.filter(feed_id=feed_id, hour__gte=from_hour, hour__lt=to_hour)
    return set(rows.values_list("hour", flat=True))


def next_examined(*, feed_id: int, from_hour: int) -> int | None:
    """Return a feed's first examined hour from one on, None where there is none."""
    rows = FeedHour.objects.filter(feed_id=feed_id, hour__gte=from_hour)
    return rows.aggregate(first=Min("hour"))["first"]


def allowed_ms(*, feed_ids: list[int], hour: int) -> dict[int, int]:
    """Return the longest normal silence of each feed in a UTC hour (since 1970), in milliseconds."""
    # The same hours of days, and all of the day before: no others are looked at.
    rows = (
        FeedHour.objects.filter(feed_id__in=feed_ids, hour__lt=hour, hour__gte=hour - arrivals.LEARNED_HOURS)
        .alias(of_day=(Value(hour) - F("hour")) % 24)
        .filter(Q(of_day=0) | Q(hour__gte=hour - arrivals.LEARNED_HOURS_OF_ALL))
        .exclude(usual_gap_ms=None)
        .order_by("feed_id", "hour")
        .values_list("feed_id", "hour", "usual_gap_ms")
    )
    learned: dict[int, list[tuple[int, int]]] = {feed_id: [] for feed_id in feed_ids}
    for feed_id, at, usual_ms in rows:
        learned[feed_id].append((at, usual_ms or 0))
    found = {}
    for feed_id, pairs in learned.items():
        hours, usual = arrivals.hours_of(pairs)
        found[feed_id] = arrivals.allowed_ms(hour, hours=hours, usual_ms=usual)
    return found


def examined(*, feed_id: int, from_hour: int, to_hour: int) -> list[Hour]:
    """Return the examined hours of a feed within ``[from_hour, to_hour)``, ascending."""
    rows = FeedHour.objects.filter(feed_id=feed_id, hour__gte=from_hour, hour__lt=to_hour).order_by("hour")
    return [Hour(*row) for row in rows.values_list("hour", "session_ms", "missing_ms")]


def gaps(*, feed_id: int, from_msc: int, to_msc: int) -> QuerySet[Gap]:
    """Return the stretches without ticks of a feed that reach into ``[from_msc, to_msc)``, ascending, filled or not."""
    return Gap.objects.filter(feed_id=feed_id, from_msc__lt=to_msc, to_msc__gt=from_msc).order_by("from_msc")


def open_gaps(*, source_id: int, limit: int = 10_000) -> list[Gap]:
    """Return the newest stretches of a source of which something is missing, by feed, ascending."""
    rows = Gap.objects.filter(feed__source_id=source_id, state=Gap.State.OPEN, kind__in=sorted(MISSING))
    return sorted(rows.order_by("-from_msc")[:limit], key=lambda gap: (gap.feed_id, gap.from_msc))


def open_causes(*, sources: Mapping[int, int]) -> dict[int, list[str]]:
    """Return the causes of the incidents that are not resolved, of feeds and of their sources, each in order.

    ``sources`` gives the source of each feed; a feed without any has an empty list.
    """
    rows = (
        Incident.objects.exclude(state=Incident.State.RESOLVED)
        .filter(Q(feed_id__in=list(sources)) | Q(feed_id=None, source_id__in=list(sources.values())))
        .order_by("cause", "id")
        .values_list("feed_id", "source_id", "cause")
    )
    found: dict[int, set[str]] = {feed_id: set() for feed_id in sources}
    for of_feed_id, of_source_id, cause in rows:
        for feed_id, source_id in sources.items():
            if of_feed_id in (feed_id, None) and of_source_id == source_id:
                found[feed_id].add(cause)
    return {feed_id: sorted(causes) for feed_id, causes in found.items()}
