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
        if not own.any():
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
    if not is_price.all():
        scaled = np.where(is_price, scaled, 0.0)
    return np.rint(scaled, out=scaled).astype(np.int64), is_price


def running(values: Int64s, is_valid: Mask) -> tuple[Int64s, Int64s]:
    """Return the sums and the counts of the valid values before each place, shape (n + 1,) each."""
    sums, counts = np.zeros(len(values) + 1, dtype=np.int64), np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(np.where(is_valid, values, 0), out=sums[1:])
    np.cumsum(is_valid, out=counts[1:])
    return sums, counts


def is_outlier(values: Int64s, *, sums: Int64s, counts: Int64s, begin: Int64s, place: Int64s, rule: Outlier) -> Mask:
    """Return which values exceed by the rule the mean of what was summed in ``[begin, place)``, each its own."""
    total, count = sums[place] - sums[begin], counts[place] - counts[begin]
    # values > factor * mean + floor, times count. Divided by the factor, which may be large: nothing overflows.
    above = (values - rule.floor_points) * count
    most = (above - 1) // np.maximum(rule.factor, 1)
    is_above: Mask = (above > 0) & ((total <= most) | (np.asarray(rule.factor) == 0)) & (count >= LEAST)
    return is_above


def exceeds(values: Int64s, is_valid: Mask, *, begin: Int64s, rule: Outlier) -> Mask:
    """Mark valid values (none is below 0) above the mean of the valid ones in ``[begin, own place)`` by the rule."""
    marks = np.zeros(len(values), dtype=bool)
    # What is not above the floor alone cannot exceed: on most batches nothing is left to add up.
    place = np.flatnonzero(is_valid & (values > rule.floor_points))
    if len(place):
        sums, counts = running(values, is_valid)
        own = rule.at(place, len(values))
        marks[place] = is_outlier(values[place], sums=sums, counts=counts, begin=begin[place], place=place, rule=own)
    return marks


def spread_outlier(bid: Int64s, ask: Int64s, is_quote: Mask, *, start: Int64s, rule: Outlier = SPREAD) -> Mask:
    """Mark ticks whose spread in points is far above that of their predecessors."""
    return exceeds(np.abs(ask - bid), is_quote, begin=start, rule=rule)


def changes(price: Int64s, is_price: Mask, *, start: Int64s) -> tuple[Int64s, Mask]:
    """Return how far each price is from its predecessor's, and which of these changes are between two prices."""
    change = np.zeros(len(price), dtype=np.int64)
    np.abs(np.subtract(price[1:], price[:-1]), out=change[1:])
    has_change = start < np.arange(len(price))
    has_change &= is_price
    has_change[1:] &= is_price[:-1]
    return change, has_change


def jump_outlier(price: Int64s, is_price: Mask, *, start: Int64s, rule: Outlier = JUMP) -> Mask:
    """Mark ticks whose price moved far more from their predecessor's than prices moved before."""
    change, has_change = changes(price, is_price, start=start)
    # A change belongs to two ticks: the first one inside the window reaches back over its edge.
    return exceeds(change, has_change, begin=np.minimum(start + 1, len(price)), rule=rule)
