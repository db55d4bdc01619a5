"""Notes the hours of a batch's ticks that are to be certified again, in the transaction that changes them."""

import numpy as np

from quality import due_hours
from tickhub.core.batch import Batch
from tickhub.core.clock import HOUR_MS
from tickhub.core.ticks import Mask


def note(batch: Batch, *, which: Mask | None = None) -> None:
    """Note the hours of a batch's ticks, or of those marked, feed by feed."""
    for part, place, _ in batch.slices():
        times = batch.ticks["time_msc"][place]
        hours = np.unique((times if which is None else times[which[place]]) // HOUR_MS).tolist()
        due_hours.note(
            due_hours.CERTIFY,
            source_id=batch.source_id,
            feed_ids=[part.feed_id],
            hours=[(hour, hour + 1) for hour in hours],
        )
