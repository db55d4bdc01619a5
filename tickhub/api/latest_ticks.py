"""Puts the newest ticks together: the feed of highest priority of each instrument, from the cache or the table."""

import math
from typing import Any

import redis

from ingest import queries as inbox_queries
from quality import queries as quality_queries
from storage import latest
from tickhub.core import clock, flags
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed


def newest(codes: list[str] | None) -> tuple[dict[str, Any], list[str]]:  # Any: JSON
    """Return the newest tick by instrument code, and the codes that are not known."""
    feeds: dict[str, Feed] = {}
    for feed in sorted(reference.feeds(), key=lambda feed: (feed.source.priority, feed.pk)):
        feeds.setdefault(feed.instrument.code, feed)
    if codes is not None:
        unknown = [code for code in codes if code not in feeds]
        if unknown:
            return {}, unknown
        feeds = {code: feeds[code] for code in codes}
    ids = [feed.pk for feed in feeds.values()]
    try:
        found = latest.read(ids)
    except redis.RedisError:
        # Slower, never wrong: the table answers.
        found = {}
    missing = [feed_id for feed_id in ids if feed_id not in found]
    if missing:
        found |= latest.from_table(missing)
    now_msc = clock.now_msc()
    warnings = quality_queries.open_causes(sources={feed.pk: feed.source_id for feed in feeds.values()})
    described = {
        code: _describe(feed, found[feed.pk], now_msc, warnings[feed.pk])
        for code, feed in feeds.items()
        if feed.pk in found
    }
    return described, []


def _number(value: float) -> float | None:
    """Return what JSON can carry: a tick that was released may hold NaN or an infinity."""
    return value if math.isfinite(value) else None


def _describe(feed: Feed, tick: latest.LatestTick, now_msc: int, warnings: list[str]) -> dict[str, Any]:  # Any: JSON
    return {
        "time_msc": tick.time_msc,
        "time": clock.iso(tick.time_msc),
        "seq": tick.seq,
        "bid": _number(tick.bid) or None,
        "ask": _number(tick.ask) or None,
        "last": _number(tick.last) or None,
        "volume": _number(tick.volume),
        "flags": flags.names(tick.quality),
        "feed": feed.pk,
        "symbol": feed.symbol,
        "source": feed.source.name,
        "quality": {
            # A recording's ticks are as old as the recording: its age says nothing.
            "staleness_ms": None if feed.source.is_replay else max(now_msc - tick.time_msc, 0),
            "replay": feed.source.is_replay,
            "watermark_msc": inbox_queries.watermark_msc(feed_id=feed.pk, source_id=feed.source_id),
            # Served all the same: whoever asks decides what it is worth.
            "warnings": warnings,
        },
    }
