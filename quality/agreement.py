"""How well the prices of two feeds of one instrument agree, second by second. Pure.

Two brokers never quote alike, and neither is the right one: compared is the last price of each second in which both
have a tick, the middle of bid and ask or the last price. They disagree in it where the prices are further apart than
the larger of the feeds' mean spreads of the period times a factor, plus a floor.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tickhub.core.ticks import Int64s, Ticks

_Floats = npt.NDArray[np.float64]
# A price of more points than this is none.
_POINTS_MAX = float(1 << 52)


@dataclass(frozen=True, slots=True)
class Prices:
    """A feed's price at the end of each second in which it has one: ``second`` (since 1970, UTC), ascending, and
    ``points``, shape (n,), float64; ``spread_points`` is the mean of all its quotes, 0 where it has none."""

    second: Int64s
    points: _Floats
    spread_points: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """In how many seconds two feeds were compared, and disagreed; the largest difference, and where the first is."""

    compared_s: int
    disagreeing_s: int
    worst_points: float
    first_msc: int | None
    band_points: float


def prices(ticks: Ticks, *, digits: int, is_quoted: bool) -> Prices:
    """Return the prices of ticks in the order of their keys; ticks without a price are passed over."""
    per_point = 10.0**digits
    # Any bits may be stored as a price.
    with np.errstate(invalid="ignore", over="ignore"):
        bid, ask = ticks["bid"] * per_point, ticks["ask"] * per_point
        if is_quoted:
            points = (bid + ask) / 2
            is_price = (bid != 0) & (ask != 0) & (np.abs(bid) < _POINTS_MAX) & (np.abs(ask) < _POINTS_MAX)
        else:
            points = ticks["last"] * per_point
            is_price = (points != 0) & (np.abs(points) < _POINTS_MAX)
        spread = (ask - bid)[is_price] if is_quoted else np.zeros(0)
    second = ticks["time_msc"][is_price] // 1000
    is_last = np.ones(len(second), dtype=bool)
    is_last[:-1] = second[1:] != second[:-1]
    # A crossed quote's spread is below 0, and says nothing of how far two brokers are apart.
    spread_points = float(np.maximum(spread, 0).mean()) if len(spread) else 0.0
    return Prices(second[is_last], points[is_price][is_last], spread_points)


def compare(left: Prices, right: Prices, *, factor: int, floor_points: int) -> Agreement:
    """Compare two feeds in the seconds in which both have a price."""
    _, own, other = np.intersect1d(left.second, right.second, assume_unique=True, return_indices=True)
    apart = np.abs(left.points[own] - right.points[other])
    band = factor * max(left.spread_points, right.spread_points) + floor_points
    places = np.flatnonzero(apart > band)
    return Agreement(
        compared_s=len(apart),
        disagreeing_s=len(places),
        worst_points=float(apart.max(initial=0.0)),
        first_msc=int(left.second[own[places[0]]]) * 1000 if len(places) else None,
        band_points=band,
    )
