"""Examines the stored ticks of every source by the hour, up to its watermark: what arrived, and what is missing."""

import logging

from django.db import transaction

from ingest import links
from ingest import queries as inbox_queries
from quality import arrivals, gaps, hours, missing
from quality import queries as quality_queries
from quality.gaps import Lost, Neighbour
from storage import reader
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS, MINUTE_MS
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed, Source
from tickhub.silence import LOST

logger = logging.getLogger(__name__)

# One run gives way to other tasks after this long; the next goes on.
_BUDGET_S = 5.0


def examine(*, budget_s: float = _BUDGET_S) -> int:
    """Examine every whole hour below each source's watermark that is not examined; return how many.

    Runs at once do not do the same twice: the hour to go on with is read under a lock.
    """
    started_s, done = clock.monotonic_s(), 0
    for source in reference.sources():
        feeds = list(reference.feeds(source=source.name))
        first_hour, end_hour = _first_hour(source, feeds), _end_hour(source, feeds)
        while first_hour is not None and first_hour < end_hour:
            if clock.monotonic_s() - started_s > budget_s:
                return done
            first_hour = _examine_next(source, feeds, first_hour=first_hour, end_hour=end_hour)
            done += 1
    return done


def _first_hour(source: Source, feeds: list[Feed]) -> int | None:
    """Return the hour to go on with: at first that of the source's earliest stored tick, None where there is none."""
    known = quality_queries.next_hour(source_id=source.pk)
    if known is not None:
        return known
    firsts = [first for feed in feeds if (first := reader.earliest(feed_id=feed.pk)) is not None]
    return min(firsts) // HOUR_MS if firsts else None


def _end_hour(source: Source, feeds: list[Feed]) -> int:
    """Return the hour of the source's watermark: a poll asks for every feed, so that the newest tells of all."""
    marks = [inbox_queries.watermark_msc(feed_id=feed.pk, source_id=source.pk) for feed in feeds]
    # What is noted of connections comes a little later than ticks.
    return min(max((mark for mark in marks if mark is not None), default=0), clock.now_msc() - MINUTE_MS) // HOUR_MS


def _examine_next(source: Source, feeds: list[Feed], *, first_hour: int, end_hour: int) -> int:
    with transaction.atomic(durable=True):
        hour = hours.begin(source_id=source.pk, first_hour=first_hour)
        if hour >= end_hour:
            return hour
        _examine_hour(source, feeds, hour)
        hours.advance(source_id=source.pk, next_hour=hour + 1)
    return hour + 1


def examine_again(source: Source, *, hour: int) -> None:
    """Examine an hour that was examined before: ticks of it have come since."""
    with transaction.atomic(durable=True):
        hours.begin(source_id=source.pk, first_hour=hour)
        _examine_hour(source, list(reference.feeds(source=source.name)), hour)


def _examine_hour(source: Source, feeds: list[Feed], hour: int) -> None:
    """Examine one hour of every feed of a source, in the caller's transaction."""
    from_msc, to_msc = hour * HOUR_MS, (hour + 1) * HOUR_MS
    # A silence that reaches back into the hour before is cut by what was lost there as well.
    lost = [] if source.is_replay else _lost(source, from_msc - HOUR_MS, to_msc)
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
            lost=lost,
            others=[other for feed_id, other in seen.items() if feed_id != feed.pk],
        )
        missing.record(feed_id=feed.pk, from_msc=from_msc, to_msc=to_msc, stretches=stretches)
        hours.record(
            feed_id=feed.pk,
            hour=hour,
            times_msc=own.times_msc,
            session_ms=gaps.in_session_ms(begin_msc, to_msc, own.calendar),
            stretches=stretches,
        )


def _since(feed: Feed, begin_msc: int) -> int:
    """Return the newest stored tick before an instant, at most as far back as habits are learned from."""
    earliest_msc = max(begin_msc - arrivals.LEARNED_HOURS * HOUR_MS, min(feed.begins_msc, begin_msc))
    newest = reader.newest_before(feed_id=feed.pk, from_msc=earliest_msc, to_msc=begin_msc)
    return earliest_msc if newest is None else newest


def _lost(source: Source, from_msc: int, to_msc: int) -> list[Lost]:
    periods = links.lost_minutes(source_id=source.pk, from_msc=from_msc, to_msc=to_msc)
    return [Lost(low, high, LOST[how]) for low, high, how in periods]
