"""Writes released ticks of one batch to the tick table and counts the batch anew, in the caller's transaction."""

import numpy as np

from ingest import inbox, queries
from quality import findings
from quality.models import QuarantinedTick
from storage import adding
from storage.packing import Rows
from tickhub import pipeline
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import HOUR_MS
from tickhub.core.flags import Flag
from tickhub.quarantine import totals


def write(rows: list[QuarantinedTick], *, batch_id: int, source_id: int) -> Rows:
    """Write ticks with the flag RELEASED; return them as they stand, in the order given.

    :raises storage.rekeying.RowsChanged: if a millisecond has no seq left
    :raises django.db.IntegrityError: if a key was taken a moment ago
    :raises django.db.DataError: if the table refuses a value
    """
    added = adding.add(_as_rows(rows, batch_id))
    findings.append(pipeline.collisions(added.collisions), source_id=source_id, batch_id=batch_id)
    return added.rows


def recount(rows: list[QuarantinedTick], *, batch_id: int) -> None:
    """Count the hours of released ticks anew in what their batch says of them.

    :raises tickhub.quarantine.totals.TotalsDiffer: if the tables do not give back what was captured, bit for bit
    """
    (record,) = queries.records(batch_ids=[batch_id])
    changed = {(row.feed_id, row.time_msc // HOUR_MS) for row in rows}
    inbox.recount(batch_id=batch_id, outcome=totals.recounted(record, changed=changed))


def _as_rows(rows: list[QuarantinedTick], batch_id: int) -> Rows:
    ticks = tick_arrays.from_bytes(b"".join(bytes(row.record) for row in rows))
    offsets = np.array([row.offset_ms for row in rows], dtype=np.int64)
    return Rows(
        feed_id=np.array([row.feed_id for row in rows], dtype=np.int16),
        seq=np.array([row.seq for row in rows], dtype=np.int16),
        ticks=tick_arrays.shift_each(ticks, -offsets),
        quality=np.array([row.quality | int(Flag.RELEASED) for row in rows], dtype=np.int32),
        batch_id=batch_id,
    )
