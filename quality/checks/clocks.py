"""Checks on the terminal's clock. Each returns one boolean per tick, shape (n,): True where its time cannot be told.

``wall_msc`` is the tick's time on the terminal's clock.
"""

import numpy as np

from tickhub.core.batch import Part
from tickhub.core.ticks import Int64s, Mask


def ambiguous_time(part: Part, wall_msc: Int64s, late: Mask) -> Mask:
    """Mark ticks of an hour that the clock shows twice which may be of either pass.

    Those are the late ones, and those of a stretch that was not captured in its first pass.
    """
    repeated = part.repeated
    if repeated is None:
        return np.zeros(len(wall_msc), dtype=bool)
    within = (wall_msc >= repeated.from_msc) & (wall_msc < repeated.to_msc)
    is_unsure = (wall_msc >= repeated.unsure_from_msc) & (wall_msc < repeated.unsure_to_msc)
    return within & (late | is_unsure)


def no_such_time(part: Part, wall_msc: Int64s, late: Mask) -> Mask:  # the signature of both checks
    """Mark ticks of an hour that the clock leaves out: the broker's clock is not the one configured."""
    if part.skipped_from_msc is None:
        return np.zeros(len(wall_msc), dtype=bool)
    return wall_msc >= part.skipped_from_msc
