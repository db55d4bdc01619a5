"""Finds the batches that captured a tick, by the bytes they keep."""

import json
from dataclasses import dataclass

import numpy as np

from ingest import payloads
from ingest.models import LATEST_SPAN_MSC
from ingest.models import Batch as BatchRow
from tickhub.core import batch as core_batch
from tickhub.core import clock
from tickhub.core import ticks as tick_arrays


@dataclass(frozen=True, slots=True)
class Found:
    """What captured batches hold of one millisecond of a feed.

    ``batch_ids`` captured the key asked for, ``seqs`` are all seqs of the millisecond; ``gone`` are batches that may
    have, but whose bytes were dropped.
    """

    batch_ids: tuple[int, ...]
    seqs: tuple[int, ...]
    gone: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What is known of one batch; times in UTC milliseconds."""

    batch_id: int
    status: str
    captured_msc: int
    stored_msc: int | None
    failure: str


def captured(*, source_id: int, feed_id: int, time_msc: int, seq: int) -> Found:
    """Look for a key (UTC) among the bytes of a source's batches whose ticks span its time."""
    batch_ids: list[int] = []
    seqs: list[int] = []
    gone: list[int] = []
    with payloads.binary_cursor() as cursor:
        cursor.execute(
            "SELECT b.id, b.parts::text, p.ticks, p.marks FROM ingest_batch b"
            " LEFT JOIN batch_payload p ON p.batch_id = b.id AND p.captured_on = b.captured_on"
            " WHERE b.source_id = %s AND b.first_msc IS NOT NULL AND int8range(LEAST(b.first_msc, %s),"
            " LEAST(b.last_msc, %s), '[]') @> LEAST(%s, %s)::int8 ORDER BY b.id",
            [source_id, LATEST_SPAN_MSC, LATEST_SPAN_MSC, time_msc, LATEST_SPAN_MSC],
        )
        for batch_id, parts, ticks, marks in cursor:
            if ticks is None:
                gone.append(batch_id)
                continue
            own = _seqs(json.loads(parts), ticks, marks, feed_id, time_msc)
            seqs += own
            if seq in own:
                batch_ids.append(batch_id)
    return Found(tuple(batch_ids), tuple(sorted(seqs)), tuple(gone))


def _seqs(parts: list[dict[str, int]], raw: bytes, marks: bytes, feed_id: int, time_msc: int) -> list[int]:
    """Return the seqs of a feed's ticks of one millisecond (UTC) in a batch."""
    ticks = tick_arrays.from_bytes(raw)
    seq, _ = core_batch.unpack_marks(marks)
    found: list[int] = []
    start = 0
    for part in parts:
        place = slice(start, start + part["count"])
        start = place.stop
        if part["feed"] == feed_id:
            at = np.flatnonzero(ticks["time_msc"][place] - part["offset_ms"] == time_msc)
            found += seq[place][at].tolist()
    return found


def facts(*, batch_id: int) -> BatchFacts:
    """Return what is known of a batch.

    :raises ingest.models.Batch.DoesNotExist: if there is none
    """
    row = BatchRow.objects.get(pk=batch_id)
    return BatchFacts(
        batch_id=row.pk,
        status=row.status,
        captured_msc=clock.from_datetime(row.captured_at),
        stored_msc=None if row.stored_at is None else clock.from_datetime(row.stored_at),
        failure=row.failure,
    )
