"""Checks that look back at the ticks of the same feed captured before, at most 64 of them and never forward.

They take all feeds of a batch at once: ``ticks`` holds each feed's context and then its new ticks, feed after feed,
and ``start`` the place of each tick's first predecessor that may be seen, ``max(begin of its feed, own place - 64)``.
Sums are of whole points, hence exact: where a capture is cut into batches cannot change a result.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Int64s, Mask, Ticks

WINDOW = 64
# A price of more points than this is taken for missing: sums of 64 stay exact.
_POINTS_MAX = float(1 << 52)


@dataclass(frozen=True, slots=True)
class Outlier:
    """When a value is an outlier: above ``factor`` times the mean of at least ``least`` predecessors plus ``floor``."""

    factor: int
    floor_points: int
    least: int


SPREAD = Outlier(factor=10, floor_points=20, least=32)
JUMP = Outlier(factor=25, floor_points=20, least=32)


def repeat(ticks: Ticks, *, start: Int64s) -> Mask:
    """Mark ticks equal in every bit to their predecessor (in one millisecond, therefore)."""
    marks = np.zeros(len(ticks), dtype=bool)
    if len(ticks) < 2:
        return marks
    place = np.flatnonzero(ticks["time_msc"][1:] == ticks["time_msc"][:-1]) + 1
    place = place[start[place] < place]
    raw = tick_arrays.as_bytes(ticks)
    marks[place] = (raw[place] == raw[place - 1]).all(axis=1)
    return marks


def points(prices: npt.NDArray[np.float64], per_point: npt.NDArray[np.float64]) -> tuple[Int64s, Mask]:
    """Return prices in whole points and which of them are prices at all (finite, above zero, not absurd).

    ``per_point`` is points per unit of price, 10^digits, one per tick.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = prices * per_point
        is_price = (scaled > 0) & (scaled < _POINTS_MAX)
    return np.rint(np.where(is_price, scaled, 0.0)).astype(np.int64), is_price


def exceeds(values: Int64s, is_valid: Mask, *, start: Int64s, rule: Outlier) -> Mask:
    """Mark valid values that exceed the mean of the valid values in ``[start, own place)`` by the rule."""
    place = np.arange(len(values), dtype=np.int64)
    sums = np.concatenate(([0], np.cumsum(np.where(is_valid, values, 0))))
    counts = np.concatenate(([0], np.cumsum(is_valid)))
    total, count = sums[place] - sums[start], counts[place] - counts[start]
    is_outlier = values * count > rule.factor * total + rule.floor_points * count
    return is_outlier & is_valid & (count >= rule.least)


def spread_outlier(bid: Int64s, ask: Int64s, is_quote: Mask, *, start: Int64s, rule: Outlier = SPREAD) -> Mask:
    """Mark ticks whose spread in points is far above that of their predecessors."""
    return exceeds(np.abs(ask - bid), is_quote, start=start, rule=rule)


def jump_outlier(price: Int64s, is_price: Mask, *, start: Int64s, rule: Outlier = JUMP) -> Mask:
    """Mark ticks whose price moved far more from their predecessor's than prices moved before."""
    if len(price) == 0:
        return np.zeros(0, dtype=bool)
    change = np.abs(np.diff(price, prepend=price[:1]))
    place = np.arange(len(price), dtype=np.int64)
    has_change = is_price & np.concatenate(([False], is_price[:-1])) & (start < place)
    # A change belongs to two ticks: the first one inside the window reaches back over its edge.
    edge = np.minimum(start + 1, place)
    return exceeds(change, has_change, start=edge, rule=rule)
