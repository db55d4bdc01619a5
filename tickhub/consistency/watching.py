"""Compares hours of sources by turns for a while, and the cache of latest ticks, and tells what differs."""

import logging
from collections.abc import Sequence

import redis

from quality import incidents
from quality.models import Incident
from storage import latest, partitions
from tickhub.consistency import differing, stations, turns
from tickhub.consistency.turns import Place
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed

logger = logging.getLogger(__name__)

# So many hours of sources are compared in one run, if there is time.
_HOURS_AT_ONCE = 48
# The last days have a walk of their own: what is stored for years does not keep them waiting.
_RECENT_HOURS = 7 * 24
_HOURS_OF_DAY = 24


def watch(*, until_s: float) -> int:
    """Compare hours of sources whose turn it is, one at least; return how many.

    ``until_s`` (of the monotonic clock) is when to begin no further one.
    """
    feeds: dict[int, list[Feed]] = {}
    for feed in reference.feeds():
        feeds.setdefault(feed.source_id, []).append(feed)
    _watch_cache([feed for own in feeds.values() for feed in own])
    compared = 0
    try:
        for hour, source_id in turns.take(_walks(feeds), most=_HOURS_AT_ONCE):
            found = stations.compare(source_id=source_id, feed_ids=[feed.pk for feed in feeds[source_id]], hour=hour)
            differing.tell(source_id=source_id, hour=hour, found=found)
            compared += 1
            if clock.monotonic_s() >= until_s:
                break
    except redis.RedisError as error:
        logger.warning("hours not compared", extra={"error": str(error)})
    return compared


def _walks(feeds: dict[int, list[Feed]]) -> dict[str, Sequence[Place]]:
    """Return the closed hours to walk over: those told to differ, those of the last days, and all."""
    now_hour = clock.now_msc() // HOUR_MS
    source_of = {feed.pk: feed.source_id for own in feeds.values() for feed in own}
    hours = [day * _HOURS_OF_DAY + hour for day in partitions.days() for hour in range(_HOURS_OF_DAY)]
    closed = [(hour, source_id) for hour in hours if hour < now_hour for source_id in sorted(feeds)]
    told = differing.told()
    return {
        "differing": sorted({(hour, source_of[feed_id]) for feed_id, own in told.items() for hour in own}),
        "recent": [place for place in closed if place[0] >= now_hour - _RECENT_HOURS],
        "all": closed,
    }


def _watch_cache(feeds: Sequence[Feed]) -> None:
    """Tell of a cached tick that the table does not know: the cache may be behind, and never ahead."""
    ids = [feed.pk for feed in feeds]
    try:
        # The cache first: what is stored meanwhile makes the table newer only.
        cached = latest.read(ids)
    except redis.RedisError:
        return
    stored = latest.from_table(ids)
    for feed in feeds:
        one, newest = cached.get(feed.pk), stored.get(feed.pk)
        is_ahead = one is not None and (newest is None or (one.time_msc, one.seq) > (newest.time_msc, newest.seq))
        incidents.observe(
            cause="CACHE_AHEAD",
            source_id=feed.source_id,
            feed_id=feed.pk,
            holds=is_ahead,
            severity=Incident.Severity.ERROR,
            evidence={}
            if one is None
            else {"cached": {"time_msc": one.time_msc, "seq": one.seq, "bid": repr(one.bid), "ask": repr(one.ask)}},
        )
