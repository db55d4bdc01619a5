"""Rows of the tick table for tests that put them there themselves."""

import numpy as np

from storage.packing import Rows
from tickhub.core.ticks import Ticks


def one_row(feed_id: int, tick: Ticks, *, seq: int, batch_id: int, quality: int = 0) -> Rows:
    """Build the row of one tick (UTC)."""
    return Rows(
        feed_id=np.array([feed_id], dtype=np.int16),
        seq=np.array([seq], dtype=np.int16),
        ticks=tick,
        quality=np.array([quality], dtype=np.int32),
        batch_id=batch_id,
    )
