"""Compares the stations of one hour of a source, for all of its feeds at once.

The inbox's bytes, what the batches' rows record, the tick table and the quarantine are each read for themselves, and
digested by minute. Where the sums of a feed differ, the rows of minutes that do are compared, to name the first that is
missing or beyond.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from django.db import connection, transaction

from ingest import comparing, queries, recount
from quality import queries as quality_queries
from storage import reader
from tickhub import ledger
from tickhub.core import clock, digest
from tickhub.core.clock import HOUR_MS, MINUTE_MS
from tickhub.core.digest import ZERO, Digest
from tickhub.core.ticks import Ticks
from tickhub.ledger import FeedLedger


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


class NoDifference(Enum):
    """What may be said of an hour in which nothing differs."""

    AGREE = "the stations agree"
    NOT_COMPARABLE = "a batch with ticks of it waits"


def compare(*, source_id: int, feed_ids: Sequence[int], hour: int) -> dict[int, Difference | NoDifference]:
    """Compare the stations of an hour (since 1970) of a source's feeds as of one moment; return the result by feed."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # Millions of rows may be an hour's.
        cursor.execute("SET LOCAL statement_timeout = 0")
        said = ledger.of_source(source_id, from_msc=hour * HOUR_MS, to_msc=(hour + 1) * HOUR_MS)
        captured, failed = _recount(source_id, hour), _recount(source_id, hour, status="FAILED")
        return {
            feed_id: _compare(
                source_id,
                feed_id,
                hour,
                said={name: getattr(said.get(feed_id, FeedLedger()), name).get(hour, ZERO) for name in _STATIONS},
                captured=None if captured is None else captured.get(feed_id, {}),
                failed=None if failed is None else failed.get(feed_id, {}),
            )
            for feed_id in feed_ids
        }


_STATIONS = FeedLedger.__slots__
# Digests by minute (since 1970).
_Minutes = dict[int, Digest]


def _recount(source_id: int, hour: int, *, status: str | None = None) -> dict[int, _Minutes] | None:
    """Digest what the inbox's bytes hold by feed; None where those of the hour are dropped by now."""
    from_msc, to_msc = hour * HOUR_MS, (hour + 1) * HOUR_MS
    try:
        return recount.digests(source_id=source_id, from_msc=from_msc, to_msc=to_msc, status=status, step_ms=MINUTE_MS)
    except queries.PayloadGone:
        return None


def _compare(
    source_id: int,
    feed_id: int,
    hour: int,
    *,
    said: dict[str, Digest],
    captured: _Minutes | None,
    failed: _Minutes | None,
) -> Difference | NoDifference:
    if said["waiting"].count:
        return NoDifference.NOT_COMPARABLE
    from_msc, to_msc = hour * HOUR_MS, (hour + 1) * HOUR_MS
    held, _ = quality_queries.held(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc, in_utc=True)
    minutes: dict[str, _Minutes | None] = {
        "stored": reader.digests(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc, step_ms=MINUTE_MS),
        "held": digest.by_key(held, held["time_msc"] // MINUTE_MS),
        "failed": failed,
        "captured": captured,
    }
    found = {name: digest.total(own.values()) for name, own in minutes.items() if own is not None}
    differing = [(_NAMES[name], said[name], value) for name, value in found.items() if value != said[name]]
    accounted = digest.total(value for name, value in said.items() if name != "captured")
    if accounted != said["captured"]:
        differing.append(("captured, and what became of it", said["captured"], accounted))
    if not differing:
        return NoDifference.AGREE
    what, expected, value = differing[0]
    first = None
    if captured is not None:
        kept = ledger.add(*(own for name, own in minutes.items() if name != "captured" and own is not None))
        suspects = [at for at in sorted(captured | kept) if captured.get(at, ZERO) != kept.get(at, ZERO)]
        first = _first(source_id, feed_id, suspects, said["duplicates"])
    return Difference(hour, what, expected.count, value.count, first)


_NAMES = {
    "captured": "what the inbox recorded, and its bytes",
    "stored": "what was recorded as stored, and the tick table",
    "held": "what was recorded as quarantined, and the quarantine",
    "failed": "what was recorded as failed, and its bytes",
}


def _first(
    source_id: int, feed_id: int, minutes: Sequence[int], duplicates: Digest
) -> dict[str, Any] | None:  # Any: JSON
    """Return the earliest row of some minutes that was captured and is not kept, or is kept and was not captured."""
    for minute in minutes:
        captured, kept = _rows(source_id, feed_id, minute * MINUTE_MS, (minute + 1) * MINUTE_MS)
        is_beyond, is_missing = comparing.multiset_difference(captured, kept)
        if duplicates.count:
            # Rows that were dropped as duplicates are missing by right, and which they are is not recorded.
            is_missing[:] = False
        both = np.concatenate([captured[is_missing], kept[is_beyond]])
        if len(both):
            place = int(both["time_msc"].argmin())
            is_lost = place < int(is_missing.sum())
            values = {name: repr(both[place][name].item()) for name in _VALUES}
            return values | {"is": "captured, and not kept" if is_lost else "kept, and not captured"}
    return None


_VALUES = ("time_msc", "bid", "ask", "last", "volume_real", "flags")


def _rows(source_id: int, feed_id: int, from_msc: int, to_msc: int) -> tuple[Ticks, Ticks]:
    """Return what was captured of a feed within ``[from_msc, to_msc)``, and what of it is kept anywhere; in UTC."""
    captured, failed = (
        recount.rows(source_id=source_id, feed_id=feed_id, from_msc=from_msc, to_msc=to_msc, status=status)
        for status in (None, "FAILED")
    )
    stored = reader.read(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc).ticks
    held, _ = quality_queries.held(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc, in_utc=True)
    return captured, np.concatenate([stored, held, failed])
