"""Builds ticks, batches and rows for tests, from the few values that a test is about."""

from collections.abc import Sequence

import numpy as np

from tickhub.core import batch as core_batch
from tickhub.core import digest
from tickhub.core import ticks as tick_arrays
from tickhub.core.batch import Batch, Part
from tickhub.core.clock import HOUR_MS
from tickhub.core.ticks import TICK_DTYPE, Ticks
from tickhub.reference.queries import FeedFacts

# 2026-03-02 12:00:00 UTC, a Monday.
NOON_MSC = 1_772_452_800_000


def make_ticks(rows: Sequence[tuple[int, float, float]], *, start_msc: int = NOON_MSC, flags: int = 6) -> Ticks:
    """Build quotes from ``(ms after start, bid, ask)``."""
    ticks = np.zeros(len(rows), dtype=TICK_DTYPE)
    for place, (after_ms, bid, ask) in enumerate(rows):
        time_msc = start_msc + after_ms
        ticks[place] = (time_msc // 1000, bid, ask, 0.0, 0, time_msc, flags, 0.0)
    return tick_arrays.freeze(ticks)


def make_trades(rows: Sequence[tuple[int, float, int]], *, start_msc: int = NOON_MSC) -> Ticks:
    """Build trades from ``(ms after start, last, volume)``."""
    ticks = np.zeros(len(rows), dtype=TICK_DTYPE)
    for place, (after_ms, last, volume) in enumerate(rows):
        time_msc = start_msc + after_ms
        ticks[place] = (time_msc // 1000, 0.0, 0.0, last, volume, time_msc, 24, float(volume))
    return tick_arrays.freeze(ticks)


def make_batch(
    ticks: Ticks, *, feed_id: int = 1, context: Ticks | None = None, poll_msc: int | None = None, batch_id: int = 1
) -> Batch:
    """Build a batch of one part whose seq numbers the ticks of each millisecond."""
    context = tick_arrays.empty() if context is None else context
    part = Part(
        feed_id=feed_id,
        epoch_id=1,
        offset_ms=0,
        count=len(ticks),
        context_count=len(context),
        cursor=None,
        cursor_after=None,
        hours=digest.by_key(ticks, ticks["time_msc"] // HOUR_MS),
    )
    seq = tick_arrays.position_in_group(ticks["time_msc"])
    marks = core_batch.pack_marks(seq, np.zeros(len(ticks), dtype=bool))
    numbers, late = core_batch.unpack_marks(marks)
    newest = int(ticks["time_msc"].max()) if len(ticks) else NOON_MSC
    return Batch(batch_id, 1, poll_msc or newest, newest, (part,), ticks, numbers, late, context)


def make_facts(
    feed_id: int = 1, *, digits: int = 5, is_quoted: bool = True, negative_prices: bool = False
) -> FeedFacts:
    """Build the facts of a feed's instrument."""
    return FeedFacts(feed_id=feed_id, digits=digits, is_quoted=is_quoted, negative_prices=negative_prices)
