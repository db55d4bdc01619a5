"""Quarantine: ticks that no table may hold, kept whole. Sole writer of its table."""

import numpy as np
from django.db import connection

from quality.models import QuarantinedTick
from tickhub.core import ticks as tick_arrays
from tickhub.core.batch import Batch
from tickhub.core.errors import TickhubError
from tickhub.core.flags import FlagArray
from tickhub.core.ticks import Int64s, Mask, Ticks


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


def hold_stored(
    *, ticks: Ticks, seq: Int64s, quality: Int64s, batch_id: Int64s, feed_id: Int64s, offset_ms: Int64s
) -> None:
    """Put ticks (UTC) that were stored until now into quarantine, in the caller's transaction.

    Their places in their batches are not known any more: they are counted down from -1.
    """
    if len(ticks) == 0:
        return
    records = [record.tobytes() for record in tick_arrays.shift_each(ticks, offset_ms)]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quality_quarantinedtick"
            " (feed_id, batch_id, time_msc, seq, position, record, offset_ms, quality, state)"
            " SELECT n.feed_id, n.batch_id, n.time_msc, n.seq, least(0, (SELECT min(q.position)"
            " FROM quality_quarantinedtick q WHERE q.batch_id = n.batch_id))"
            " - row_number() OVER (PARTITION BY n.batch_id ORDER BY n.time_msc, n.seq),"
            " n.record, n.offset_ms, n.quality, 'HELD' FROM unnest(%s::int8[], %s::int8[], %s::int8[], %s::int2[],"
            " %s::bytea[], %s::int4[], %s::int4[]) AS n (feed_id, batch_id, time_msc, seq, record, offset_ms, quality)",
            [
                feed_id.tolist(),
                batch_id.tolist(),
                ticks["time_msc"].tolist(),
                seq.tolist(),
                records,
                offset_ms.tolist(),
                quality.tolist(),
            ],
        )


def requalify(*, batch_id: int, position: Int64s, quality: FlagArray) -> None:
    """Give held ticks of a batch other flags, in the caller's transaction; their state stays."""
    if len(position) == 0:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE quality_quarantinedtick q SET quality = n.quality FROM unnest(%s::int4[], %s::int4[])"
            " AS n (position, quality) WHERE q.batch_id = %s AND q.position = n.position",
            [position.tolist(), quality.tolist(), batch_id],
        )


class NotInState(TickhubError):
    """A tick of the quarantine is not in the state that a decision starts from."""


def lock(*, row_ids: list[int]) -> list[QuarantinedTick]:
    """Lock rows in the caller's transaction and return them by key; those that do not exist are missing."""
    rows = list(QuarantinedTick.objects.select_for_update().filter(pk__in=row_ids).order_by("pk"))
    return sorted(rows, key=lambda row: (row.feed_id, row.time_msc, row.seq, row.pk))


def decide(
    *, row_ids: list[int], before: str, after: str, actor: str, reason: str, stored_seq: list[int] | None = None
) -> None:
    """Put rows from one state into another, in the caller's transaction; ``stored_seq`` is one for each row.

    :raises NotInState: if one of them is not in the state ``before``
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE quality_quarantinedtick q SET state = %s, decided_at = clock_timestamp(), decided_by = %s,"
            " decision = %s, stored_seq = n.stored_seq FROM unnest(%s::int8[], %s::int2[]) AS n (id, stored_seq)"
            " WHERE q.id = n.id AND q.state = %s",
            [after, actor, reason, row_ids, [None] * len(row_ids) if stored_seq is None else stored_seq, before],
        )
        if cursor.rowcount != len(row_ids):
            msg = f"quarantine: {cursor.rowcount} of {len(row_ids)} ticks are {before}"
            raise NotInState(msg)


def follow(
    *,
    batch_id: Int64s,
    feed_id: Int64s,
    seq: Int64s,
    before_msc: Int64s,
    time_msc: Int64s,
    offset_ms: Int64s,
) -> None:
    """Let the rows of released ticks follow these under a corrected clock, in the caller's transaction.

    The ticks are given by the key under which they stand in the table before it; those that were never here are none.
    """
    if len(batch_id) == 0:
        return
    columns = (batch_id, feed_id, seq, before_msc, time_msc, offset_ms)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE quality_quarantinedtick q SET time_msc = n.time_msc, offset_ms = n.offset_ms"
            " FROM unnest(%s::int8[], %s::int8[], %s::int8[], %s::int8[], %s::int8[], %s::int4[])"
            " AS n (batch_id, feed_id, seq, before_msc, time_msc, offset_ms) WHERE q.state = 'RELEASED'"
            " AND q.batch_id = n.batch_id AND q.feed_id = n.feed_id AND q.time_msc = n.before_msc"
            " AND coalesce(q.stored_seq, q.seq) = n.seq",
            [column.tolist() for column in columns],
        )


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
