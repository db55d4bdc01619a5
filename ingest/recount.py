"""Reads the bytes of batches again, a few batches at a time: an hour of a source may be gigabytes."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from django.db import connection

from ingest.queries import TOUCHES, PayloadGone
from tickhub.core import digest
from tickhub.core import ticks as tick_arrays
from tickhub.core.digest import Digest
from tickhub.core.ticks import TICK_SIZE_BYTES, Int64s, Ticks

# A batch holds at most 65,536 ticks, hence these at most 63 MB.
_BATCHES_AT_ONCE = 16
# More than there can be feeds, whose ids have 15 bits.
_FEEDS = 1 << 15


def digests(
    *, source_id: int, from_msc: int, to_msc: int, status: str | None = None, step_ms: int
) -> dict[int, dict[int, Digest]]:
    """Return the digests of what was captured of each feed of a source within ``[from_msc, to_msc)``, UTC.

    By feed id and step of time (since 1970). Of batches of one status only where it is given; in the caller's
    transaction.

    :raises PayloadGone: if the bytes of such a batch were dropped
    """
    found: dict[int, dict[int, Digest]] = {}
    for ticks, feed_ids in _pieces(source_id, from_msc, to_msc, status):
        steps = (ticks["time_msc"] - from_msc) // step_ms
        # One number for both, as digests are by one key.
        for key, value in digest.by_key(ticks, steps * _FEEDS + feed_ids).items():
            step, feed_id = key // _FEEDS + from_msc // step_ms, key % _FEEDS
            own = found.setdefault(feed_id, {})
            own[step] = own.get(step, digest.ZERO) + value
    return found


def rows(*, source_id: int, feed_id: int, from_msc: int, to_msc: int, status: str | None = None) -> Ticks:
    """Return what was captured of a feed within ``[from_msc, to_msc)``, UTC, as :func:`digests` counts it, in no order.

    :raises PayloadGone: if the bytes of a batch of its source and period were dropped
    """
    pieces = [ticks[feed_ids == feed_id] for ticks, feed_ids in _pieces(source_id, from_msc, to_msc, status)]
    return tick_arrays.freeze(np.concatenate([tick_arrays.empty(), *pieces]))


def _pieces(source_id: int, from_msc: int, to_msc: int, status: str | None) -> Iterator[tuple[Ticks, Int64s]]:
    """Yield ticks of the period in UTC with the feed of each, shape (n,)."""
    # The server holds the rows: a cursor without a name would have all of them sent at once.
    with connection.wrap_database_errors, connection.connection.cursor("recount", binary=True) as cursor:
        cursor.execute(
            "SELECT b.id, b.parts::text, p.ticks FROM ingest_batch b"
            " LEFT JOIN batch_payload p ON p.batch_id = b.id AND p.captured_on = b.captured_on"
            f" WHERE b.source_id = %s AND {TOUCHES} AND (%s::text IS NULL OR b.status = %s::text)",
            [source_id, from_msc, to_msc, status, status],
        )
        while batches := cursor.fetchmany(_BATCHES_AT_ONCE):
            ticks, feed_ids = _decode(batches)
            is_within = (ticks["time_msc"] >= from_msc) & (ticks["time_msc"] < to_msc)
            yield ticks[is_within], feed_ids[is_within]


def _decode(batches: list[tuple[Any, ...]]) -> tuple[Ticks, Int64s]:  # Any: columns
    """Return the ticks of batches in UTC, and the feed of each; bytes need not be as many as the batch declares."""
    heads: list[tuple[int, int, int]] = []
    pieces = []
    for batch_id, parts, raw in batches:
        if raw is None:
            msg = f"batch {batch_id}: its bytes are gone, so what it captured cannot be compared"
            raise PayloadGone(msg)
        left = len(raw) // TICK_SIZE_BYTES
        for part in json.loads(parts):
            count = min(part["count"], left)
            heads.append((part["feed"], count, part["offset_ms"]))
            left -= count
        pieces.append(tick_arrays.from_bytes(raw)[: len(raw) // TICK_SIZE_BYTES - left])
    feed_ids, counts, offsets_ms = np.array(heads, dtype=np.int64).reshape(-1, 3).T
    ticks = tick_arrays.shift_each(np.concatenate(pieces), -np.repeat(offsets_ms, counts))
    return ticks, np.repeat(feed_ids, counts)
