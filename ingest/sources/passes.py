"""Tells the passes of a repeated hour apart in a recording, by the order of its rows. Pure."""

import numpy as np

from tickhub.core.ticks import Int64s
from tickhub.core.zones import Epochs

# A step back this large at the clock's own switch begins the second pass; a smaller one is a late row.
STEP_BACK_MS = 30 * 60_000


def to_utc(wall_msc: Int64s, epochs: Epochs) -> Int64s:
    """Return the UTC milliseconds of rows in order of arrival, given on a wall clock; shape (n,).

    Rows of an hour that the clock shows twice are of the second pass from the first step back of at least 30 minutes
    into it on, else of the first. Rows within an hour that the clock leaves out keep the offset from before it.
    """
    if len(epochs.rows) == 1:
        return wall_msc - epochs.rows[0].offset_ms
    # Up to here an epoch's clock goes on, the hour that the next one repeats or leaves out included.
    ends = np.array([row.ends_msc + row.offset_ms + epochs.skipped_ms(k) for k, row in enumerate(epochs.rows[:-1])])
    offsets = np.array([row.offset_ms for row in epochs.rows], dtype=np.int64)
    place = np.searchsorted(ends, wall_msc, side="right")
    reached = np.maximum.accumulate(wall_msc) if len(wall_msc) else wall_msc
    for number in range(1, len(epochs.rows)):
        zone = epochs.repeated(number)
        if zone is None:
            continue
        within = (wall_msc >= zone[0]) & (wall_msc < zone[1])
        steps = np.flatnonzero(within & (reached - wall_msc >= STEP_BACK_MS) & (reached < zone[1]))
        if len(steps):
            within[: steps[0]] = False
            place[within] = number
    return wall_msc - offsets[place]
