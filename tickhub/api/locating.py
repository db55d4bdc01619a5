"""Where one tick is: captured by which batch, stored, in quarantine, and with which flags."""

import math
from typing import Any

from ingest import locating
from ingest import queries as inbox_queries
from ingest.locating import BatchFacts, Found
from quality import queries as quality_queries
from quality.models import QuarantinedTick
from storage import reader
from storage.reader import Stored
from tickhub.api.keys import TickKey
from tickhub.core import clock, flags
from tickhub.core.errors import TickhubError
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed

_PRICES = ("bid", "ask", "last")


class NotFound(TickhubError):
    """There is no such tick; the message says why."""


def locate(key: TickKey) -> dict[str, Any]:  # Any: JSON
    """Return all that is known of a tick by its key, which is that of its capture.

    :raises NotFound: if it is neither captured, stored nor in quarantine
    """
    feed = reference.feed(feed_id=key.feed_id)
    if feed is None:
        msg = f"feed {key.feed_id} is not known"
        raise NotFound(msg)
    row = _in_quarantine(key)
    stored = _stored(key, row)
    batch_id = _batch_id(feed, key, stored, row)
    batch = locating.facts(batch_id=batch_id)
    return {
        "feed": feed.pk,
        "symbol": feed.symbol,
        "source": feed.source.name,
        "time_msc": key.time_msc,
        "time": clock.iso(key.time_msc),
        "seq": key.seq,
        "captured": _captured(batch),
        "stored": _told(stored, batch, row),
        "flags": _flags(stored, row),
        "quarantined": None if row is None else _quarantined(row),
    }


def _in_quarantine(key: TickKey) -> QuarantinedTick | None:
    """Return the row of the tick that stands under a key in the table, else of the one that was captured under it."""
    rows = quality_queries.rows_of_key(feed_id=key.feed_id, time_msc=key.time_msc, seq=key.seq)
    return min(rows, key=lambda row: (row.stored_seq != key.seq, row.pk), default=None)


def _stored(key: TickKey, row: QuarantinedTick | None) -> Stored:
    """Return the tick stored under a key, else the one that was captured under it and released under another."""
    seqs = [key.seq] if row is None or row.stored_seq is None else [key.seq, row.stored_seq]
    for seq in seqs:
        _, behind = reader.around(feed_id=key.feed_id, time_msc=key.time_msc, seq=seq, count=1)
        if [*behind.ticks["time_msc"].tolist(), *behind.seq.tolist()] == [key.time_msc, seq]:
            break
    else:
        return behind.take(slice(0))
    return behind


def _batch_id(feed: Feed, key: TickKey, stored: Stored, row: QuarantinedTick | None) -> int:
    """Return the batch that captured a tick."""
    if len(stored.ticks):
        return int(stored.batch_id[0])
    if row is not None:
        return row.batch_id
    found = locating.captured(source_id=feed.source_id, feed_id=key.feed_id, time_msc=key.time_msc, seq=key.seq)
    if not found.batch_ids:
        raise NotFound(_why_not(feed, key, found))
    return found.batch_ids[0]


def _captured(batch: BatchFacts) -> dict[str, Any]:  # Any: JSON
    return {
        "batch": batch.batch_id,
        "status": batch.status,
        "captured_at": clock.iso(batch.captured_msc),
        "failure": batch.failure or None,
    }


def _told(stored: Stored, batch: BatchFacts, row: QuarantinedTick | None) -> dict[str, Any] | None:  # Any: JSON
    """Return where and when a tick was stored; one that was released, by its release."""
    if len(stored.ticks) == 0:
        return None
    known_msc = batch.stored_msc
    if row is not None and row.decided_at is not None and row.stored_seq == int(stored.seq[0]):
        known_msc = clock.from_datetime(row.decided_at)
    prices = {name: float(stored.ticks[name][0]) for name in _PRICES}
    return {
        "batch": int(stored.batch_id[0]),
        "seq": int(stored.seq[0]),
        "known_at": None if known_msc is None else clock.iso(known_msc),
        # No JSON has NaN, and 0 is no price.
        **{name: price if math.isfinite(price) and price else None for name, price in prices.items()},
    }


def _flags(stored: Stored, row: QuarantinedTick | None) -> list[str]:
    if len(stored.ticks):
        return list(flags.names(int(stored.quality[0])))
    return [] if row is None else list(flags.names(row.quality))


def _quarantined(row: QuarantinedTick) -> dict[str, Any]:  # Any: JSON
    return {
        "id": row.pk,
        "state": row.state,
        "reasons": flags.names(row.quality),
        "held_at": clock.iso(clock.from_datetime(row.held_at)),
        "decided_at": None if row.decided_at is None else clock.iso(clock.from_datetime(row.decided_at)),
        "stored_seq": row.stored_seq,
    }


def _why_not(feed: Feed, key: TickKey, found: Found) -> str:
    what = f"feed {feed.pk} ({feed}) has no tick {key.time_msc}/{key.seq}"
    if found.seqs:
        return f"{what}: of that millisecond the seqs {', '.join(map(str, found.seqs))} were captured"
    if found.gone:
        return f"{what}: neither stored nor held; the bytes of batch {found.gone[0]}, which spans it, were dropped"
    if key.time_msc < feed.begins_msc:
        return f"{what}: capture of it begins at {clock.iso(feed.begins_msc)}"
    reached_msc = inbox_queries.watermark_msc(feed_id=feed.pk, source_id=feed.source_id)
    if reached_msc is None:
        return f"{what}: nothing of it was captured yet"
    if key.time_msc > reached_msc:
        return f"{what}: it is complete up to {clock.iso(reached_msc)} only"
    return f"{what}: nothing of that millisecond was captured"
