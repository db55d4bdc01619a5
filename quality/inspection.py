"""Judges a batch: one flag array from all checks, a pure function of the batch and the facts of its feeds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quality.checks import clocks, neighbours, prices, sessions, times
from tickhub.core import ticks as tick_arrays
from tickhub.core.batch import Batch, Part
from tickhub.core.clock import DAY_MS, LATEST_MSC
from tickhub.core.errors import PermanentError
from tickhub.core.flags import HOLD, Flag, FlagArray
from tickhub.core.ticks import Int64s, Mask, Ticks
from tickhub.reference.queries import FeedFacts


class CheckFailed(PermanentError):
    """A check raised: the batch is failed and keeps its bytes; no tick is judged by half."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings of the checks; times in UTC milliseconds, a tolerance of 0 is none."""

    earliest_msc: int
    future_tolerance_ms: int


@dataclass(frozen=True, slots=True)
class _View:
    """A batch laid out for the checks: ``mixed`` is each feed's context and then its ticks, ``is_new`` marks the
    latter; facts stand once per tick of ``mixed``."""

    mixed: Ticks
    is_new: Mask | None
    start: Int64s
    is_quoted: Mask
    negative_allowed: Mask
    per_point: npt.NDArray[np.float64]


def inspect(batch: Batch, *, facts: dict[int, FeedFacts], limits: Limits) -> FlagArray:
    """Return the quality flags of each tick of a batch, shape (n,), int32.

    :raises CheckFailed: if a check raises; the message names it
    :raises KeyError: if the facts of a feed are missing
    """
    view = _lay_out(batch, facts)
    flags = np.zeros(len(batch.ticks), dtype=np.int32)
    latest_msc = min(batch.poll_msc + DAY_MS, LATEST_MSC)
    new = view.mixed if view.is_new is None else batch.ticks
    quoted = _new(view, view.is_quoted)
    allowed = _new(view, view.negative_allowed)
    single: dict[Flag, Callable[[], Mask]] = {
        Flag.NOT_FINITE: lambda: prices.not_finite(new),
        Flag.NEGATIVE: lambda: prices.negative(new, allowed=allowed),
        Flag.IMPLAUSIBLE_DAY: lambda: times.implausible_day(
            new, earliest_msc=limits.earliest_msc, latest_msc=latest_msc
        ),
        Flag.UNSTORABLE: lambda: prices.unstorable(new, seq=batch.seq),
        Flag.NO_BID: lambda: prices.no_bid(new, is_quoted=quoted),
        Flag.NO_ASK: lambda: prices.no_ask(new, is_quoted=quoted),
        Flag.NO_LAST: lambda: prices.no_last(new, is_quoted=quoted),
        Flag.CROSSED: lambda: prices.crossed(new),
        Flag.LATE: lambda: batch.late,
        Flag.FUTURE: lambda: times.future(new, poll_msc=batch.poll_msc, tolerance_ms=limits.future_tolerance_ms),
        Flag.AMBIGUOUS_TIME: lambda: _of_parts(batch, clocks.ambiguous_time),
        Flag.NO_SUCH_TIME: lambda: _of_parts(batch, clocks.no_such_time),
        Flag.REPEAT: lambda: _new(view, neighbours.repeat(view.mixed, start=view.start)),
        Flag.OUT_OF_SESSION: lambda: sessions.out_of_session(
            batch,
            calendars={feed_id: fact.calendar for feed_id, fact in facts.items()},
            earliest_msc=limits.earliest_msc,
            latest_msc=latest_msc,
        ),
    }
    for flag, check in single.items():
        _mark(flags, flag, check, batch)
    bid, is_bid = neighbours.points(view.mixed["bid"], view.per_point)
    ask, is_ask = neighbours.points(view.mixed["ask"], view.per_point)
    is_quote = is_bid & is_ask & view.is_quoted
    _mark(
        flags,
        Flag.SPREAD_OUTLIER,
        lambda: _new(view, neighbours.spread_outlier(bid, ask, is_quote, start=view.start)),
        batch,
    )
    price, is_price = _price(view, bid, ask, is_quote)
    _mark(
        flags,
        Flag.JUMP_OUTLIER,
        lambda: _new(view, neighbours.jump_outlier(price, is_price, start=view.start)),
        batch,
    )
    return flags


def held(flags: FlagArray) -> Mask:
    """Mark the ticks that no table may hold."""
    return (flags & int(HOLD)) != 0


def _mark(flags: FlagArray, flag: Flag, check: Callable[[], Mask], batch: Batch) -> None:
    try:
        marks = check()
    except Exception as error:
        msg = f"batch {batch.batch_id}: check {flag.name} raised {type(error).__name__}: {error}"
        raise CheckFailed(msg) from error
    if marks.any():
        flags[marks] |= int(flag)


def _of_parts(batch: Batch, check: Callable[[Part, Int64s, Mask], Mask]) -> Mask:
    """Apply a check that needs what its part says of the terminal's clock."""
    marks = np.zeros(len(batch.ticks), dtype=bool)
    for part, place, _ in batch.slices():
        if part.repeated is not None or part.skipped_from_msc is not None:
            marks[place] = check(part, batch.ticks["time_msc"][place] + part.offset_ms, batch.late[place])
    return marks


def _new(view: _View, per_mixed: Mask) -> Mask:
    return per_mixed if view.is_new is None else per_mixed[view.is_new]


def _price(view: _View, bid: Int64s, ask: Int64s, is_quote: Mask) -> tuple[Int64s, Mask]:
    """Return the price that jumps are judged by: the middle in points, or the last price."""
    middle = (bid + ask) // 2
    if view.is_quoted.all():
        return middle, is_quote
    last, is_last = neighbours.points(view.mixed["last"], view.per_point)
    return np.where(view.is_quoted, middle, last), np.where(view.is_quoted, is_quote, is_last)


def _lay_out(batch: Batch, facts: dict[int, FeedFacts]) -> _View:
    pieces, news, lengths, known = [], [], [], []
    for part, place, before in batch.slices():
        pieces += [batch.context[before], batch.ticks[place]]
        news += [False, True]
        lengths += [part.context_count, part.count]
        known.append(facts[part.feed_id])
    sizes = [context + count for context, count in zip(lengths[::2], lengths[1::2], strict=True)]
    has_context = any(lengths[::2])
    mixed = tick_arrays.join(pieces) if has_context else batch.ticks
    begins = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes) if sizes else np.zeros(0, dtype=np.int64)
    start = np.maximum(begins, np.arange(len(mixed), dtype=np.int64) - neighbours.WINDOW)
    return _View(
        mixed=mixed,
        is_new=np.repeat(news, lengths) if has_context else None,
        start=start,
        is_quoted=np.repeat(np.array([f.is_quoted for f in known], dtype=bool), sizes),
        negative_allowed=np.repeat(np.array([f.negative_prices for f in known], dtype=bool), sizes),
        per_point=np.repeat(np.array([10.0**f.digits for f in known]), sizes),
    )
