"""Checks on volumes. Each returns one boolean per tick, shape (n,): True where it is wrong."""

import numpy as np

from quality.checks.columns import Fields
from tickhub.core.ticks import Mask


def bad_volume(ticks: Fields) -> Mask:
    """Mark ticks with a negative volume_real, or with two volumes that cannot be one, both given and one or more apart.

    ``volume`` is the whole part of ``volume_real``, rounded however the broker likes: less than one apart is no fault.
    """
    whole, real = ticks["volume"], ticks["volume_real"]
    if not real.any():
        # So it is with every quote: nothing is traded.
        return np.zeros(len(real), dtype=bool)
    with np.errstate(invalid="ignore", over="ignore"):
        is_apart = np.abs(whole.astype(np.float64) - real) >= 1
        # From 2^53 on a double is coarser than one: it has to be the nearest to the whole number.
        is_apart &= whole.astype(np.float64) != np.trunc(real)
        marks: Mask = (real < 0) | (is_apart & (whole != 0) & (real != 0))
    return marks
