"""Judges a batch: one flag array from all checks, a pure function of the batch, its feeds' facts and thresholds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from quality.budget import Budget, Run
from quality.checks import clocks, neighbours, prices, reverts, runs, sessions, tickflags, times, volumes
from quality.checks.columns import Fields
from quality.layout import Layout
from quality.rules import DEFAULTS, Thresholds
from tickhub.core.batch import Batch, Part
from tickhub.core.clock import DAY_MS, LATEST_MSC
from tickhub.core.errors import PermanentError
from tickhub.core.flags import HOLD, Flag, FlagArray
from tickhub.core.ticks import Int64s, Mask
from tickhub.reference.queries import FeedFacts

# No tick is that old at its poll.
_NEVER = 1 << 62
_Checks = dict[Flag, Callable[[], Mask]]


class CheckFailed(PermanentError):
    """A check raised: the batch is failed and keeps its bytes; no tick is judged by half."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings of the checks; times in UTC milliseconds, a tolerance of 0 is none.

    ``thresholds`` are those of feeds by id; a feed that is not in it has the defaults. Without a ``budget`` each check
    takes as long as it takes.
    """

    earliest_msc: int
    future_tolerance_ms: int
    thresholds: Mapping[int, Thresholds] = field(default_factory=dict)
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The flags of a batch's ticks, shape (n,), int32; ``spikes`` maps the place of a tick that reverts to how many
    ticks of its feed before it the spike began.

    ``left_out`` names the checks over their budget, with the milliseconds taken (None: not run): see
    :mod:`quality.budget`. Of them nothing is known, and every tick is UNJUDGED.
    """

    flags: FlagArray
    spikes: Mapping[int, int]
    left_out: Mapping[Flag, int | None] = field(default_factory=dict)


def inspect(batch: Batch, *, facts: Mapping[int, FeedFacts], limits: Limits) -> FlagArray:
    """Return the quality flags of each tick of a batch, shape (n,), int32. Raises as :func:`judge`."""
    return judge(batch, facts=facts, limits=limits).flags


# Any sixty bytes may come as a tick, a signalling NaN among them, at which the processor warns where one is only read.
@np.errstate(invalid="ignore", over="ignore")
def judge(batch: Batch, *, facts: Mapping[int, FeedFacts], limits: Limits) -> Judgement:
    """Judge each tick of a batch.

    :raises CheckFailed: if a check raises; the message names it
    :raises KeyError: if the facts of a feed are missing
    """
    layout = Layout(batch, facts, limits.thresholds)
    judged = np.zeros(layout.count, dtype=np.int32)
    found: list[reverts.Reverts] = []
    run = Run(limits.budget)
    checks = _of_values(layout) | _of_neighbours(layout) | {Flag.REVERT: lambda: _revert(layout, found)}
    for flag, check in checks.items():
        _mark(judged, flag, check, batch, run)
    flags = layout.own(judged)
    own = {name: layout.own(layout.ticks[name]) for name in ("time", "time_msc", "volume", "flags")}
    for flag, check in _of_poll(batch, facts, own, limits).items():
        _mark(flags, flag, check, batch, run)
    if run.left_out:
        flags |= np.int32(Flag.UNJUDGED)
    return Judgement(flags, _spikes(layout, found, run), run.left_out)


def held(flags: FlagArray) -> Mask:
    """Mark the ticks that no table may hold."""
    return (flags & int(HOLD)) != 0


def _of_values(layout: Layout) -> _Checks:
    """Return the checks that look at one tick at a time."""
    ticks, quoted = layout.ticks, layout.is_quoted
    return {
        Flag.NOT_FINITE: lambda: prices.not_finite(ticks),
        Flag.NEGATIVE: lambda: prices.negative(ticks, allowed=layout.negative_allowed),
        Flag.NO_BID: lambda: prices.no_bid(ticks, is_quoted=quoted),
        Flag.NO_ASK: lambda: prices.no_ask(ticks, is_quoted=quoted),
        Flag.NO_LAST: lambda: prices.no_last(ticks, is_quoted=quoted),
        Flag.CROSSED: lambda: prices.crossed(ticks),
        Flag.LOCKED: lambda: prices.locked(ticks, is_quoted=quoted),
        Flag.OFF_GRID: lambda: prices.off_grid(ticks, steps=layout.steps),
        Flag.OUTSIDE_BAND: lambda: _outside_band(layout),
        Flag.BAD_VOLUME: lambda: volumes.bad_volume(ticks),
    }


def _of_neighbours(layout: Layout) -> _Checks:
    """Return the checks that look back at the ticks of the same feed."""
    ticks, start = layout.ticks, layout.start
    return {
        Flag.REPEAT: lambda: neighbours.repeat(ticks, start=start),
        Flag.FLAG_MISMATCH: lambda: tickflags.flag_mismatch(ticks, has_moved=layout.has_moved),
        Flag.STUCK: lambda: runs.stuck(ticks["time_msc"], layout.has_changed, least_ms=layout.stuck_ms),
        Flag.SPREAD_OUTLIER: lambda: neighbours.spread_outlier(
            layout.quote.bid, layout.quote.ask, layout.quote.is_quote, start=start, rule=layout.spread
        ),
        Flag.JUMP_OUTLIER: lambda: neighbours.jump_outlier(layout.moved_price, start=start),
    }


def _of_poll(batch: Batch, facts: Mapping[int, FeedFacts], ticks: Fields, limits: Limits) -> _Checks:
    """Return the checks of what only the batch's own ticks have: places, times, and the poll that brought them."""
    latest_msc = min(batch.poll_msc + DAY_MS, LATEST_MSC)
    return {
        Flag.IMPLAUSIBLE_DAY: lambda: times.implausible_day(
            ticks, earliest_msc=limits.earliest_msc, latest_msc=latest_msc
        ),
        Flag.UNSTORABLE: lambda: prices.unstorable(ticks, seq=batch.seq),
        Flag.LATE: lambda: batch.late,
        Flag.FUTURE: lambda: times.future(ticks, poll_msc=batch.poll_msc, tolerance_ms=limits.future_tolerance_ms),
        Flag.STALE: lambda: _stale(batch, ticks, limits),
        Flag.AMBIGUOUS_TIME: lambda: _of_parts(batch, clocks.ambiguous_time),
        Flag.NO_SUCH_TIME: lambda: _of_parts(batch, clocks.no_such_time),
        Flag.OUT_OF_SESSION: lambda: sessions.out_of_session(
            batch,
            calendars={feed_id: fact.calendar for feed_id, fact in facts.items()},
            earliest_msc=limits.earliest_msc,
            latest_msc=latest_msc,
        ),
    }


def _mark(flags: FlagArray, flag: Flag, check: Callable[[], Mask], batch: Batch, run: Run) -> None:
    try:
        marks = run.marks(flag, check)
    except Exception as error:
        msg = f"batch {batch.batch_id}: check {flag.name} raised {type(error).__name__}: {error}"
        raise CheckFailed(msg) from error
    if marks is not None and np.count_nonzero(marks):
        flags |= marks * np.int32(flag)


def _outside_band(layout: Layout) -> Mask:
    if not layout.has_band:
        return np.zeros(layout.count, dtype=bool)
    low, high = layout.band("low", otherwise=-np.inf), layout.band("high", otherwise=np.inf)
    return prices.outside_band(layout.ticks, low=low, high=high)


def _stale(batch: Batch, ticks: Fields, limits: Limits) -> Mask:
    ages = [limits.thresholds.get(part.feed_id, DEFAULTS).stale_ms for part in batch.parts]
    if all(age_ms is None for age_ms in ages):
        return np.zeros(len(batch.ticks), dtype=bool)
    # Of a feed that is not judged no tick is so old.
    known = np.array([_NEVER if age_ms is None else age_ms for age_ms in ages], dtype=np.int64)
    return times.stale(ticks, poll_msc=batch.poll_msc, age_ms=np.repeat(known, [part.count for part in batch.parts]))


def _revert(layout: Layout, found: list[reverts.Reverts]) -> Mask:
    """Mark the ticks that revert, and add to ``found`` where they do."""
    percent = layout.revert_percent
    found.append(reverts.find(layout.moved_price, *layout.price, start=layout.start, percent=percent))
    marks = np.zeros(layout.count, dtype=bool)
    marks[found[0].place] = True
    return marks


def _spikes(layout: Layout, found: list[reverts.Reverts], run: Run) -> dict[int, int]:
    if Flag.REVERT in run.left_out or not len(found[0].place):
        return {}
    lags = np.zeros(layout.count, dtype=np.int64)
    lags[found[0].place] = found[0].lag
    own = layout.own(lags)
    place = np.flatnonzero(own)
    return dict(zip(place.tolist(), own[place].tolist(), strict=True))


def _of_parts(batch: Batch, check: Callable[[Part, Int64s, Mask], Mask]) -> Mask:
    """Apply a check that needs what its part says of the terminal's clock."""
    marks = np.zeros(len(batch.ticks), dtype=bool)
    for part, place, _ in batch.slices():
        if part.repeated is not None or part.skipped_from_msc is not None:
            marks[place] = check(part, batch.ticks["time_msc"][place] + part.offset_ms, batch.late[place])
    return marks
