"""Quarantine: ticks that no table may hold, kept whole. Sole writer of its table."""

from quality.models import QuarantinedTick
from tickhub.core.batch import Batch
from tickhub.core.flags import FlagArray
from tickhub.core.ticks import Mask


def hold(batch: Batch, *, flags: FlagArray, held: Mask) -> int:
    """Put the marked ticks of a batch into quarantine, in the caller's transaction; return how many."""
    if not held.any():
        return 0
    rows = []
    for part, place, _ in batch.slices():
        for index in held[place].nonzero()[0].tolist():
            position = place.start + index
            tick = batch.ticks[position : position + 1].copy()
            time_msc = int(tick["time_msc"][0])
            tick["time_msc"] += part.offset_ms
            tick["time"] += part.offset_ms // 1000
            rows.append(
                QuarantinedTick(
                    feed_id=part.feed_id,
                    batch_id=batch.batch_id,
                    time_msc=time_msc,
                    seq=int(batch.seq[position]),
                    position=position,
                    record=tick.tobytes(),
                    offset_ms=part.offset_ms,
                    quality=int(flags[position]),
                )
            )
    QuarantinedTick.objects.bulk_create(rows, batch_size=1000)
    return len(rows)
