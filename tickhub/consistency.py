"""Compares the stations of single hours row by row, a few hours at a time, so that in turn every hour is compared.

The inbox's bytes, what the batches' rows record, the tick table, the quarantine and the cache of latest ticks are each
read for themselves. A difference is an incident that names the first row which is missing or beyond.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import redis
from django.db import connection, transaction

from ingest import comparing, queries
from quality import incidents
from quality import queries as quality_queries
from quality.models import Incident
from storage import latest, partitions, reader
from tickhub import ledger
from tickhub.core import clock, digest
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import ZERO, Digest
from tickhub.core.ticks import Ticks
from tickhub.ledger import FeedLedger
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed

# So many hours are compared in one run, if there is time.
_HOURS_AT_ONCE = 48
# How many have been, as Redis remembers it: where it forgets, the first hours have their turn again.
_TURN = "tickhub:compared-hours"
_HOURS_OF_DAY = 24
_CAUSE = "STATIONS_DIFFER"


@dataclass(frozen=True, slots=True)
class Difference:
    """Two stations of one hour (since 1970) that say different things; ``first`` is a row that only one of them has."""

    hour: int
    stations: str
    expected: int
    found: int
    first: dict[str, Any] | None  # Any: JSON

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        """Return the evidence of the incident."""
        return {
            "hour": clock.iso(self.hour * HOUR_MS),
            "stations": self.stations,
            "expected": self.expected,
            "found": self.found,
            "first": self.first,
        }


def watch(*, until_s: float) -> int:
    """Compare the hours whose turn it is, and those of open incidents; return how many were compared.

    ``until_s`` (of the monotonic clock) is when to stop.
    """
    feeds = list(reference.feeds())
    _watch_cache(feeds)
    try:
        turn = int(latest.client().get(_TURN) or 0)
    except redis.RedisError:
        return 0
    compared = 0
    suspects = _suspects()
    for feed, hour in _due(feeds, suspects, turn):
        if clock.monotonic_s() >= until_s:
            break
        difference = compare(feed, hour)
        compared += 1
        if difference is not None or suspects.get(feed.pk) == hour:
            _tell(feed, difference)
    with suppress(redis.RedisError):
        latest.client().incrby(_TURN, max(compared - len(suspects), 0))
    return compared


def compare(feed: Feed, hour: int) -> Difference | None:
    """Compare the stations of a feed's hour as of one moment; None where they agree, or a batch of it waits."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return _compare(feed, hour)


def _compare(feed: Feed, hour: int) -> Difference | None:
    from_msc, to_msc = hour * HOUR_MS, (hour + 1) * HOUR_MS
    own = ledger.of_source(feed.source_id, from_msc=from_msc, to_msc=to_msc).get(feed.pk, FeedLedger())
    said = {name: getattr(own, name).get(hour, ZERO) for name in FeedLedger.__slots__}
    if said["waiting"].count:
        return None
    held, _ = quality_queries.held(feed_id=feed.pk, from_msc=from_msc, to_msc=to_msc, in_utc=True)
    kept = {
        "stored": reader.read(feed_id=feed.pk, from_msc=from_msc, to_msc=to_msc).ticks,
        "held": held,
    }
    captured, failed = _bytes(feed, from_msc, to_msc), _bytes(feed, from_msc, to_msc, status="FAILED")
    if failed is not None:
        kept["failed"] = failed
    found = {name: digest.of(rows) for name, rows in kept.items()}
    if captured is not None:
        found["captured"] = digest.of(captured)
    differing = [(_NAMES[name], said[name], value) for name, value in found.items() if value != said[name]]
    accounted = digest.total(value for name, value in said.items() if name != "captured")
    if accounted != said["captured"]:
        differing.append(("captured, and what became of it", said["captured"], accounted))
    if not differing:
        return None
    what, expected, value = differing[0]
    first = None if captured is None else _first(captured, list(kept.values()), said["duplicates"])
    return Difference(hour, what, expected.count, value.count, first)


_NAMES = {
    "captured": "what the inbox recorded, and its bytes",
    "stored": "what was recorded as stored, and the tick table",
    "held": "what was recorded as quarantined, and the quarantine",
    "failed": "what was recorded as failed, and its bytes",
}


def _bytes(feed: Feed, from_msc: int, to_msc: int, *, status: str | None = None) -> Ticks | None:
    """Return what the inbox's bytes hold of a feed; None where those of an hour are dropped by now."""
    try:
        found = queries.captured_between(
            source_id=feed.source_id, from_msc=from_msc, to_msc=to_msc, status=status, feed_id=feed.pk, in_utc=True
        ).get(feed.pk)
    except queries.PayloadGone:
        return None
    return tick_arrays.empty() if found is None else found.ticks


def _first(captured: Ticks, kept: Sequence[Ticks], duplicates: Digest) -> dict[str, Any] | None:  # Any: JSON
    """Return the earliest row that was captured and is not kept, or is kept and was not captured."""
    rows = np.concatenate(kept)
    is_beyond, is_missing = comparing.multiset_difference(captured, rows)
    if duplicates.count:
        # Rows that were dropped as duplicates are missing by right, and which they are is not recorded.
        is_missing[:] = False
    both = np.concatenate([captured[is_missing], rows[is_beyond]])
    if len(both) == 0:
        return None
    place = int(both["time_msc"].argmin())
    tick = both[place]
    names = ("time_msc", "bid", "ask", "last", "volume_real", "flags")
    values = {name: repr(tick[name].item()) for name in names}
    return values | {"is": "captured, and not kept" if place < int(is_missing.sum()) else "kept, and not captured"}


def _due(feeds: Sequence[Feed], suspects: dict[int, int], begin: int) -> Iterator[tuple[Feed, int]]:
    """Yield hours of feeds: those of open incidents, then those whose turn it is, from a number on."""
    by_id = {feed.pk: feed for feed in feeds}
    yield from ((by_id[feed_id], hour) for feed_id, hour in suspects.items() if feed_id in by_id)
    hours = [day * _HOURS_OF_DAY + hour for day in partitions.days() for hour in range(_HOURS_OF_DAY)]
    total = len(hours) * len(feeds)
    for number in range(begin, begin + min(_HOURS_AT_ONCE, total)):
        turn, place = divmod(number % total, len(feeds))
        yield feeds[place], hours[turn]


def _suspects() -> dict[int, int]:
    """Return the hour of each feed that an open incident names."""
    rows = Incident.objects.filter(cause=_CAUSE).exclude(state=Incident.State.RESOLVED)
    return {row.feed_id: clock.parse(row.evidence["hour"]) // HOUR_MS for row in rows if row.feed_id and row.evidence}


def _tell(feed: Feed, difference: Difference | None) -> None:
    incidents.observe(
        cause=_CAUSE,
        source_id=feed.source_id,
        feed_id=feed.pk,
        holds=difference is not None,
        severity=Incident.Severity.ERROR,
        evidence={} if difference is None else difference.as_json(),
    )


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
