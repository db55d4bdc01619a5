"""Examines the stored ticks of every source by the hour, up to its watermark: what arrived, and what is missing.

Hours about which something has changed since (ticks from before the source's first ones, a clock corrected, a calendar
edited) are noted as due, and examined again.
"""

import logging
import random

from django.conf import settings
from django.db import transaction

from ingest import backfill, inbox, leases, links, stored
from ingest import queries as inbox_queries
from quality import arrivals, certificates, due_hours, gaps, hours, missing
from quality import queries as quality_queries
from quality.due_hours import Due
from quality.gaps import Kind, Lost, Neighbour
from storage import reader
from tickhub import reaching
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS, MINUTE_MS
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed, Source
from tickhub.silence import LOST

logger = logging.getLogger(__name__)

# One run gives way to other tasks after this long; the next goes on.
_BUDGET_S = 5.0
# A pause of all feeds of a source that is longer than this is passed over: a stray tick of years ago makes no years of
# hours without a tick.
PAUSE_HOURS = 31 * 24


def examine(*, budget_s: float = _BUDGET_S) -> int:
    """Examine every whole hour below each source's watermark that is not examined, or due again; return how many.

    Runs at once do not do the same twice: the hour to go on with is read under a lock. The sources take turns, in an
    order that chance draws: none waits for ever behind another's history.
    """
    started_s, done = clock.monotonic_s(), 0
    under_way = list(reference.sources())
    random.shuffle(under_way)
    earliest: dict[int, int | None] = {}
    for source in under_way:
        while reaching.note(source_id=source.pk) and clock.monotonic_s() - started_s < budget_s:
            pass
        earliest[source.pk] = _earliest_hour(source)
        _note_changes(source, earliest[source.pk])
    while under_way:
        for source in list(under_way):
            if clock.monotonic_s() - started_s > budget_s:
                return done
            if _examine_one(source, earliest[source.pk]):
                done += 1
            else:
                under_way.remove(source)
    return done


def _note_changes(source: Source, first_hour: int | None) -> None:
    """Note the hours before the first examined one that have ticks by now, and those of another calendar."""
    begun = quality_queries.first_examined(source_id=source.pk)
    if begun is None:
        return
    runs = [] if first_hour is None else [(first_hour, begun)]
    for feed in reference.feeds(source=source.name):
        label = hours.label_of(reference.calendar_of(feed))
        runs += quality_queries.examined_otherwise(feed_id=feed.pk, calendar=label)
    runs += _read_again(source)
    known = [(due.from_hour, due.to_hour) for due in due_hours.of_source(source_id=source.pk)]
    new = [(low, high) for low, high in runs if not any(a <= low and high <= b for a, b in known)]
    with transaction.atomic(durable=True):
        due_hours.note(due_hours.EXAMINE, source_id=source.pk, feed_ids=None, hours=new)


def _read_again(source: Source) -> list[tuple[int, int]]:
    """Return the hours with gaps of a lost connection whose times were read again since, and those that it bears on."""
    lost = [gap for gap in quality_queries.open_gaps(source_id=source.pk) if gap.kind == Kind.DISCONNECTED]
    if not lost:
        return []
    proven_msc = leases.covered_of(source_id=source.pk) or 0
    done = backfill.done_within(
        feed_ids=sorted({gap.feed_id for gap in lost}),
        from_msc=min(gap.from_msc for gap in lost),
        to_msc=max(gap.to_msc for gap in lost),
    )
    # One gap may have been read again in pieces.
    read = {feed_id: due_hours.joined([(0, proven_msc), *periods]) for feed_id, periods in done.items()}
    return [
        (gap.from_msc // HOUR_MS, gap.from_msc // HOUR_MS + arrivals.REACH_HOURS)
        for gap in lost
        if any(low <= gap.from_msc and gap.to_msc <= high for low, high in read[gap.feed_id])
    ]


def _examine_one(source: Source, earliest_hour: int | None) -> bool:
    """Examine the next hour of a source, whose first tick is of an hour given; return whether there was one."""
    if earliest_hour is None:
        return False
    feeds = list(reference.feeds(source=source.name))
    known = quality_queries.next_hour(source_id=source.pk)
    first_hour, end_hour = earliest_hour if known is None else known, _end_hour(source, feeds)
    if first_hour < end_hour:
        _examine_next(source, feeds, first_hour=first_hour, end_hour=end_hour)
        return True
    return known is not None and _examine_due(source, feeds, first_hour=earliest_hour)


def _examine_due(source: Source, feeds: list[Feed], *, first_hour: int) -> bool:
    """Examine one hour that is due again, none before the first; return whether there was one."""
    with transaction.atomic(durable=True):
        examined_to = hours.begin(source_id=source.pk, first_hour=first_hour)
        # A batch that had failed may be noted already while it waits again: its hours are examined once it is stored.
        waiting_msc = inbox.first_waiting_msc(source_id=source.pk)
        wait_hour = examined_to if waiting_msc is None else waiting_msc // HOUR_MS
        dues = due_hours.of_source(source_id=source.pk)
        # Beyond what was examined the hours come to their turn anyway.
        is_over = [max(due.from_hour, first_hour) >= min(due.to_hour, examined_to) for due in dues]
        due_hours.advance((due, due.to_hour) for due, over in zip(dues, is_over, strict=True) if over)
        dues = [due for due, over in zip(dues, is_over, strict=True) if not over]
        hour = next(
            (hour for due in dues if (hour := max(due.from_hour, first_hour)) < wait_hour),
            None,
        )
        if hour is None:
            return False
        _examine_hour(source, feeds, hour)
        # Many changes may have noted one hour: it is examined once for all of them.
        due_hours.advance(
            (due, _following(feeds, due, hour, examined_to)) for due in dues if max(due.from_hour, first_hour) == hour
        )
    return True


def _following(feeds: list[Feed], due: Due, hour: int, examined_to: int) -> int:
    """Return the hour of a due run that follows one that was examined; that behind it where none does."""
    end_hour = min(due.to_hour, examined_to)
    following = _next_hour(feeds, after_hour=hour, end_hour=end_hour)
    return due.to_hour if following >= end_hour else following


def _earliest_hour(source: Source) -> int | None:
    """Return the hour of the first tick of a source's feeds, stored or held; None where there is none."""
    feed_ids = [feed.pk for feed in reference.feeds(source=source.name)]
    # A held tick that claims an impossible day is of no hour.
    held_msc = quality_queries.earliest_held(feed_ids=feed_ids, from_msc=settings.EARLIEST_MSC)
    known = (reader.earliest_of(feed_ids=feed_ids), held_msc)
    times_msc = [at for at in known if at is not None]
    return min(times_msc) // HOUR_MS if times_msc else None


def _next_hour(feeds: list[Feed], *, after_hour: int, end_hour: int) -> int:
    """Return the hour that follows an examined one; behind a long pause of every feed, the one with the next tick."""
    if end_hour - after_hour <= PAUSE_HOURS:
        return after_hour + 1
    from_msc = (after_hour + 1) * HOUR_MS
    nexts = [at for feed in feeds if (at := reader.earliest(feed_id=feed.pk, from_msc=from_msc)) is not None]
    next_hour = min(nexts) // HOUR_MS if nexts else end_hour
    return min(next_hour, end_hour) if next_hour - after_hour > PAUSE_HOURS else after_hour + 1


def _end_hour(source: Source, feeds: list[Feed]) -> int:
    """Return the hour of the source's watermark: a poll asks for every feed, so that the newest tells of all, but for
    those that are read page by page, and have more to come."""
    behind = set(stored.catching_up(source_id=source.pk))
    known = {feed.pk: inbox_queries.watermark_msc(feed_id=feed.pk, source_id=source.pk) for feed in feeds}
    late = [mark for feed_id in behind if (mark := known[feed_id]) is not None]
    marks = [min(late)] if late else list(known.values())
    # What is noted of connections comes a little later than ticks.
    return min(max((mark for mark in marks if mark is not None), default=0), clock.now_msc() - MINUTE_MS) // HOUR_MS


def _examine_next(source: Source, feeds: list[Feed], *, first_hour: int, end_hour: int) -> int:
    with transaction.atomic(durable=True):
        hour = hours.begin(source_id=source.pk, first_hour=first_hour)
        if hour >= end_hour:
            return hour
        _examine_hour(source, feeds, hour)
        following = _next_hour(feeds, after_hour=hour, end_hour=end_hour)
        hours.advance(source_id=source.pk, next_hour=following)
    return following


def _examine_hour(source: Source, feeds: list[Feed], hour: int) -> None:
    """Examine one hour of every feed of a source, in the caller's transaction."""
    from_msc, to_msc = hour * HOUR_MS, (hour + 1) * HOUR_MS
    # A silence that reaches back into the hour before is cut by what was lost there as well.
    lost = {} if source.is_replay else _lost(source, feeds, from_msc - HOUR_MS, to_msc)
    allowed = quality_queries.allowed_ms(feed_ids=[feed.pk for feed in feeds], hour=hour)
    seen = {
        feed.pk: Neighbour(
            times_msc=reader.read_times(feed_id=feed.pk, from_msc=from_msc, to_msc=to_msc),
            allowed_ms=allowed[feed.pk],
            calendar=reference.calendar_of(feed),
        )
        for feed in feeds
    }
    for feed in feeds:
        own = seen[feed.pk]
        begin_msc = min(max(from_msc, feed.begins_msc), to_msc)
        stretches = gaps.find(
            own.times_msc,
            since_msc=_since(feed, begin_msc),
            from_msc=begin_msc,
            to_msc=to_msc,
            allowed_ms=own.allowed_ms,
            calendar=own.calendar,
            lost=lost.get(feed.pk, []),
            others=[other for feed_id, other in seen.items() if feed_id != feed.pk],
        )
        has_changed = missing.record(feed_id=feed.pk, from_msc=from_msc, to_msc=to_msc, stretches=stretches)
        is_new = hours.record(
            feed_id=feed.pk,
            hour=hour,
            calendar=own.calendar,
            times_msc=own.times_msc,
            session_ms=gaps.in_session_ms(begin_msc, to_msc, own.calendar),
            stretches=stretches,
        )
        if (has_changed or is_new) and certificates.exists(feed_id=feed.pk, from_msc=from_msc):
            due_hours.note(due_hours.CERTIFY, source_id=source.pk, feed_ids=[feed.pk], hours=[(hour, hour + 1)])


def _since(feed: Feed, begin_msc: int) -> int:
    """Return the newest stored tick before an instant, at most as far back as habits are learned from."""
    earliest_msc = max(begin_msc - arrivals.LEARNED_HOURS * HOUR_MS, min(feed.begins_msc, begin_msc))
    newest = reader.newest_before(feed_id=feed.pk, from_msc=earliest_msc, to_msc=begin_msc)
    return earliest_msc if newest is None else newest


def _lost(source: Source, feeds: list[Feed], from_msc: int, to_msc: int) -> dict[int, list[Lost]]:
    """Return when a source was not connected, without what was read again since: by a pass over its past, of all feeds,
    or by a backfill, of one."""
    periods = links.lost_minutes(source_id=source.pk, from_msc=from_msc, to_msc=to_msc)
    lost = [Lost(low, high, LOST[how]) for low, high, how in periods]
    if not lost:
        return {}
    proven_msc = leases.covered_of(source_id=source.pk)
    lost = lost if proven_msc is None else gaps.still_lost(lost, [(from_msc - HOUR_MS, proven_msc)])
    done = backfill.done_within(feed_ids=[feed.pk for feed in feeds], from_msc=from_msc, to_msc=to_msc)
    return {feed_id: gaps.still_lost(lost, reread) for feed_id, reread in done.items()}
