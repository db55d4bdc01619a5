"""Checks on runs of equal ticks. Each returns one boolean per tick, shape (n,): True where it is wrong."""

import numpy as np

from quality.checks.columns import Whole
from quality.checks.neighbours import WINDOW
from tickhub.core.ticks import Int64s, Mask


def stuck(time_msc: Int64s, has_changed: Mask, *, least_ms: Whole) -> Mask:
    """Mark ticks equal to each of their 64 predecessors, the first of which is at least ``least_ms`` older.

    ``has_changed`` marks the ticks that differ from their predecessor in what matters, or have none. A market that is
    quiet sends no ticks, and one that trades at one price changes its volume: neither is stuck.
    """
    begins = np.flatnonzero(has_changed)
    ends = np.append(begins[1:], len(has_changed))
    if len(begins) == 0 or int((ends - begins).max()) <= WINDOW:
        return np.zeros(len(has_changed), dtype=bool)
    place = np.arange(len(has_changed), dtype=np.int64)
    begin = np.maximum.accumulate(np.where(has_changed, place, 0))
    earliest = np.maximum(place - WINDOW, 0)
    return (begin <= place - WINDOW) & (time_msc - time_msc[earliest] >= least_ms)
