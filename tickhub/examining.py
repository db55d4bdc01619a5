"""Examines the stored ticks of every source by the hour, up to its watermark: what arrived, and what is missing."""

import logging

from django.db import transaction

from ingest import queries as inbox_queries
from quality import hours
from quality import queries as quality_queries
from storage import reader
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed, Source

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
    return max((mark for mark in marks if mark is not None), default=0) // HOUR_MS


def _examine_next(source: Source, feeds: list[Feed], *, first_hour: int, end_hour: int) -> int:
    with transaction.atomic(durable=True):
        hour = hours.begin(source_id=source.pk, first_hour=first_hour)
        if hour >= end_hour:
            return hour
        for feed in feeds:
            times = reader.read_times(feed_id=feed.pk, from_msc=hour * HOUR_MS, to_msc=(hour + 1) * HOUR_MS)
            hours.record(feed_id=feed.pk, hour=hour, times_msc=times)
        hours.advance(source_id=source.pk, next_hour=hour + 1)
    return hour + 1
