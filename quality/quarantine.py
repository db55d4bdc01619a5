"""Quarantine: ticks that no table may hold, kept whole. Sole writer of its table."""

import numpy as np
from django.db import connection

from quality.models import QuarantinedTick
from tickhub.core.batch import Batch
from tickhub.core.flags import FlagArray
from tickhub.core.ticks import Int64s, Mask


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


def recast(*, row_ids: Int64s, time_msc: Int64s, offset_ms: Int64s, quality: Int64s, is_released: Mask) -> None:
    """Put held ticks under a corrected clock, release those that have a time now; in the caller's transaction."""
    if len(row_ids) == 0:
        return
    states = np.where(is_released, QuarantinedTick.State.RELEASED.value, "").tolist()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE quality_quarantinedtick q SET time_msc = n.time_msc, offset_ms = n.offset_ms, quality = n.quality,"
            " state = coalesce(nullif(n.state, ''), q.state)"
            " FROM unnest(%s::int8[], %s::int8[], %s::int4[], %s::int4[], %s::text[])"
            " AS n (id, time_msc, offset_ms, quality, state) WHERE q.id = n.id",
            [row_ids.tolist(), time_msc.tolist(), offset_ms.tolist(), quality.tolist(), states],
        )
