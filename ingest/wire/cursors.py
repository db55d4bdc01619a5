"""Where a cursor goes: both sides of the wire compute it."""

import numpy as np

from ingest.wire.messages import Cursor
from tickhub.core.ticks import Ticks


def after(cursor: Cursor, ticks: Ticks, now_msc: int) -> Cursor:
    """Return the cursor once ticks from it on are captured: the newest millisecond not later than the poll."""
    times = np.ascontiguousarray(ticks["time_msc"])
    place = int(times.searchsorted(now_msc, side="right")) - 1
    if place < 0:
        return cursor
    last_msc = int(times[place])
    count = place + 1 - int(times.searchsorted(last_msc))
    return last_msc, count + (cursor[1] if last_msc == cursor[0] else 0)
