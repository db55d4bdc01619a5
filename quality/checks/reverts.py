"""Jump and revert: a price that jumps and is back a few ticks later was a spike. The tick that is back is marked."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quality.checks import neighbours
from quality.checks.columns import Whole
from quality.checks.neighbours import Series
from tickhub.core.ticks import Int64s, Mask

# A spike is so many ticks long at most.
SPIKE_MOST = 3


@dataclass(frozen=True, slots=True)
class Reverts:
    """``place`` of each tick that reverts, ascending, and how many ticks before it its spike began: ``lag``, 1 to 3."""

    place: Int64s
    lag: Int64s


def find(moved: Series, price: Int64s, is_price: Mask, *, start: Int64s, percent: Whole) -> Reverts:
    """Find ticks within ``percent`` of a jump of the level that the price had before it, the first back after it.

    The jump is one by the rule of ``moved`` (:func:`neighbours.moves` of the price), judged by what the reverting tick
    may see: its own 64 predecessors, up to the jump. A negative ``percent`` finds none.
    """
    spike = moved.place
    if len(spike) == 0:
        return Reverts(spike, spike)
    places: list[Int64s] = []
    lags: list[Int64s] = []
    share: npt.NDArray[np.int64] = np.broadcast_to(np.asarray(percent, dtype=np.int64), price.shape)
    for lag in range(1, SPIKE_MOST + 1):
        spike = spike[spike + lag < len(price)]
        # The level before the jump is of the same feed and may be seen.
        spike = spike[start[spike + lag] < spike]
        place = spike + lag
        left = np.abs(price[place] - price[spike - 1])
        is_back = is_price[place] & (left * 100 <= share[place] * moved.values[spike])
        own, back = spike[is_back], place[is_back]
        is_jump = neighbours.is_outlier(moved, place=own, begin=start[back] + 1, judge=back)
        places.append(back[is_jump])
        lags.append(np.full(int(is_jump.sum()), lag, dtype=np.int64))
        spike = spike[~is_back]
    return _nearest(np.concatenate(places), np.concatenate(lags))


def _nearest(place: Int64s, lag: Int64s) -> Reverts:
    """Keep of several spikes that end with one tick the one that began last; lags ascend."""
    found, first = np.unique(place, return_index=True)
    return Reverts(found, lag[first])
