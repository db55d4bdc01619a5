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
    marks = np.zeros(len(has_changed), dtype=bool)
    begins = np.flatnonzero(has_changed)
    # Of each run, how many ticks have 64 equal ones before them.
    counts = np.append(begins[1:], len(has_changed)) - begins - WINDOW
    is_long = counts > 0
    if not is_long.any():
        return marks
    begins, counts = begins[is_long], counts[is_long]
    within = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    earliest = np.repeat(begins, counts) + within
    place = earliest + WINDOW
    least = np.broadcast_to(np.asarray(least_ms, dtype=np.int64), time_msc.shape)[place]
    marks[place] = time_msc[place] - time_msc[earliest] >= least
    return marks
