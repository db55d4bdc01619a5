"""Reads of findings, incidents and quarantine."""

import numpy as np

from quality.models import QuarantinedTick
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Int64s, Ticks


def held(*, feed_id: int, from_msc: int, to_msc: int, in_utc: bool = False) -> tuple[Ticks, Int64s]:
    """Return the held ticks of a feed within ``[from_msc, to_msc)`` (UTC), by key, in the terminal's clock or in UTC.

    With them the batch of each, shape (n,), int64.
    """
    rows = list(
        QuarantinedTick.objects.filter(feed_id=feed_id, time_msc__gte=from_msc, time_msc__lt=to_msc)
        .exclude(state=QuarantinedTick.State.RELEASED)
        .order_by("time_msc", "seq", "id")
        .values_list("record", "batch_id", "offset_ms")
    )
    ticks = tick_arrays.from_bytes(b"".join(bytes(record) for record, _, _ in rows))
    if in_utc:
        ticks = tick_arrays.shift_each(ticks, -np.array([offset_ms for *_, offset_ms in rows], dtype=np.int64))
    return ticks, np.array([batch_id for _, batch_id, _ in rows], dtype=np.int64)
