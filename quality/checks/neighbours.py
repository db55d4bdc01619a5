"""Checks that look back at the ticks of the same feed captured before, at most 64 of them and never forward.

They take all feeds of a batch at once: ``ticks`` holds each feed's context and then its new ticks, feed after feed,
and ``start`` the place of each tick's first predecessor that may be seen, ``max(begin of its feed, own place - 64)``.
Sums are of whole points, hence exact: where a capture is cut into batches cannot change a result.
"""

from dataclasses import dataclass

import numpy as np

from quality.checks.columns import Fields, Floats, Real, Whole
from tickhub.core.ticks import TICK_DTYPE, Int64s, Mask

WINDOW = 64
# A price of more points than this is taken for missing: sums of 64 stay exact.
_POINTS_MAX = float(1 << 52)
# Values before a tick that each later tick sees too, up to the longest spike (reverts.SPIKE_MOST) behind it.
_NEAR = WINDOW - 4
_LOWEST_MOST = 1 << 31
# Nothing is an outlier that has fewer predecessors with a price.
LEAST = 32


@dataclass(frozen=True, slots=True)
class Outlier:
    """When a value is an outlier: above ``factor`` times the mean of at least 32 predecessors plus ``floor_points``.

    Each is one number for all ticks, or one per tick, shape (n,), int64; 0 is a legal value of both.
    """

    factor: Whole | int
    floor_points: Whole | int

    def at(self, place: Int64s, count: int) -> "Outlier":
        """Return the rule for the ticks at some places of ``count``, one number for each."""
        return Outlier(*(np.broadcast_to(value, count)[place] for value in (self.factor, self.floor_points)))


SPREAD = Outlier(factor=10, floor_points=20)
JUMP = Outlier(factor=25, floor_points=20)


def repeat(ticks: Fields, *, start: Int64s) -> Mask:
    """Mark ticks equal in every bit to their predecessor (in one millisecond, therefore)."""
    time_msc = ticks["time_msc"]
    marks = np.zeros(len(time_msc), dtype=bool)
    own = marks[1:]
    np.equal(time_msc[1:], time_msc[:-1], out=own)
    for name in TICK_DTYPE.names or ():
        if np.count_nonzero(own) == 0:
            return marks
        # As whole numbers of the same width, so that NaN equals itself and -0.0 is not 0.0.
        bits = ticks[name].view(f"<u{TICK_DTYPE[name].itemsize}")
        own &= bits[1:] == bits[:-1]
    marks &= start < np.arange(len(marks))
    return marks


def points(prices: Floats, per_point: Real) -> tuple[Int64s, Mask]:
    """Return prices in whole points and which of them are prices at all (finite, above zero, not absurd).

    ``per_point`` is points per unit of price, 10^digits, one for all or one per tick.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = prices * per_point
        is_price = (scaled > 0) & (scaled < _POINTS_MAX)
    if np.count_nonzero(is_price) < len(is_price):
        scaled = np.where(is_price, scaled, 0.0)
    return np.rint(scaled, out=scaled).astype(np.int64), is_price


@dataclass(frozen=True, slots=True)
class Series:
    """Values, none below 0, that may be outliers by a rule: ``place`` holds the only ones that can be, ascending.

    ``sums`` and ``counts`` are those of the valid values before each place, shape (n + 1,); empty where none can be.
    """

    values: Int64s
    rule: Outlier
    place: Int64s
    sums: Int64s
    counts: Int64s


def series(values: Int64s, is_valid: Mask, *, start: Int64s, rule: Outlier) -> Series:
    """Find by cheap bounds the few valid values that can be outliers; on most batches nothing is left to add up."""
    none = np.zeros(0, dtype=np.int64)
    # No mean is below the lowest value of all. Cut off, so that the product stays within 64 bits.
    lowest = min(int(values.min(initial=_LOWEST_MOST)), _LOWEST_MOST)
    place = np.flatnonzero(is_valid & (values > rule.floor_points + rule.factor * np.int64(lowest)))
    place = place[place - start[place] >= LEAST]
    if len(place) == 0:
        return Series(values, rule, place, none, none)
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(np.where(is_valid, values, 0), out=sums[1:])
    own = rule.at(place, len(values))
    # The 60 values before belong to every window that an outlier is judged by, and none has more than 64. In doubles,
    # which do not overflow, and with more room than they round.
    near = sums[place] - sums[np.maximum(start[place] + 1, place - _NEAR)]
    above = (values[place] - own.floor_points) * float(WINDOW)
    place = place[near * np.asarray(own.factor, dtype=np.float64) <= above * (1 + 1e-9)]
    counts = np.zeros(len(values) + 1, dtype=np.int64) if len(place) else none
    if len(place):
        np.cumsum(is_valid, out=counts[1:])
    return Series(values, rule, place, sums, counts)


def is_outlier(found: Series, *, place: Int64s, begin: Int64s, judge: Int64s) -> Mask:
    """Return which values at ``place`` exceed the mean of the valid ones in ``[begin, place)``, each its own.

    By the rule for the ticks at ``judge``.
    """
    rule = found.rule.at(judge, len(found.values))
    total, count = found.sums[place] - found.sums[begin], found.counts[place] - found.counts[begin]
    # value > factor * mean + floor, times count. Divided by the factor, which may be large: nothing overflows.
    above = (found.values[place] - rule.floor_points) * count
    most = (above - 1) // np.maximum(rule.factor, 1)
    is_above: Mask = (above > 0) & ((total <= most) | (np.asarray(rule.factor) == 0)) & (count >= LEAST)
    return is_above


def exceeds(found: Series, *, begin: Int64s) -> Mask:
    """Mark values that exceed the mean of the valid ones in ``[begin, own place)`` by the rule."""
    marks = np.zeros(len(found.values), dtype=bool)
    place = found.place
    if len(place):
        marks[place] = is_outlier(found, place=place, begin=begin[place], judge=place)
    return marks


def spread_outlier(bid: Int64s, ask: Int64s, is_quote: Mask, *, start: Int64s, rule: Outlier = SPREAD) -> Mask:
    """Mark ticks whose spread in points is far above that of their predecessors."""
    return exceeds(series(np.abs(ask - bid), is_quote, start=start, rule=rule), begin=start)


def moves(price: Int64s, is_price: Mask, *, start: Int64s, rule: Outlier = JUMP) -> Series:
    """Return how far each price is from its predecessor's, where both are prices of one feed."""
    change = np.zeros(len(price), dtype=np.int64)
    np.abs(np.subtract(price[1:], price[:-1]), out=change[1:])
    has_change = start < np.arange(len(price))
    has_change &= is_price
    has_change[1:] &= is_price[:-1]
    return series(change, has_change, start=start, rule=rule)


def jump_outlier(moved: Series, *, start: Int64s) -> Mask:
    """Mark ticks whose price moved far more from their predecessor's than prices moved before; see :func:`moves`."""
    # A change belongs to two ticks: the first one inside the window reaches back over its edge.
    return exceeds(moved, begin=np.minimum(start + 1, len(start)))
