"""The inbox: batches with their bytes, saved together with the cursors. Sole writer of ``batch``."""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.db import DatabaseError, connection, transaction
from django.db.models import Min
from psycopg import Cursor
from psycopg.rows import TupleRow

from ingest import cursors, leases, payloads
from ingest.models import Batch as BatchRow
from ingest.payloads import Payload
from tickhub.core import batch as core_batch
from tickhub.core import clock, digest
from tickhub.core import ticks as tick_arrays
from tickhub.core.batch import Batch, Part
from tickhub.core.clock import HOUR_MS
from tickhub.core.errors import PermanentError, TickhubError
from tickhub.core.ticks import Ticks

# One statement for all that one commit holds: `cursors` and `leases` supply its values and judge its counts.
# SQLSTATEs of ours, raised by `tickhub_require`.
_LEASE_LOST, _CURSOR_MOVED, NOT_WAITING = "TH001", "TH002", "TH003"
_SAVE = (Path(__file__).parent / "sql" / "save_batch.sql").read_text()

_CLAIM = (
    "SELECT b.source_id, b.poll_msc, (extract(epoch FROM b.captured_at) * 1000)::int8, b.captured_on,"
    " b.publish_count >= %s AND b.attempted_publication < b.publish_count, b.attempt_count, b.parts::text, p.ticks,"
    " p.marks, p.context"
    " FROM ingest_batch b"
    " LEFT JOIN batch_payload p ON p.batch_id = b.id AND p.captured_on = b.captured_on"
    " WHERE b.id = %s AND b.status = 'WAITING' FOR UPDATE OF b SKIP LOCKED"
)


# A batch published so often without an outcome may be what ends its workers: from then on it is counted before it is
# tried, once for each publication, and so many tries are enough. Those that wait as no worker runs are not tried.
DOUBTED_PUBLICATIONS = 5
ATTEMPTS_MAX = 5
# Many years of publications, within the column's range.
_PUBLICATIONS_MOST = 30_000


class AttemptUncounted(TickhubError):
    """The batch is doubted: the attempt is counted first, in a transaction of its own."""


class AttemptsExhausted(PermanentError):
    """The batch was tried too often without an outcome."""


class BatchUnavailable(TickhubError):
    """The batch is done already, or another worker holds it."""


class BatchCorrupt(PermanentError):
    """The batch's bytes do not match what was declared at capture."""

    def __init__(self, message: str, *, batch_id: int) -> None:
        super().__init__(message)
        self.batch_id = batch_id


class BytesGone(BatchCorrupt):
    """The batch's bytes were dropped."""


@dataclass(frozen=True, slots=True)
class Capture:
    """A batch before it is saved; ``payload`` is in the terminal's clock, ``poll_msc`` in UTC."""

    source_id: int
    poll_msc: int
    parts: tuple[Part, ...]
    payload: Payload
    first_msc: int | None
    last_msc: int | None


def save(
    capture: Capture,
    *,
    lease: leases.Held,
    moves: list[cursors.Move],
    now: dt.datetime,
    publish_again_ms: int,
) -> int:
    """Commit a batch with its cursors, or nothing; return its id. ``now`` is when the poll's reads returned.

    The statement is its own transaction, and fails itself where it touched other rows than it had to.

    :raises leases.LeaseLost: if this poller was replaced
    :raises cursors.CursorMoved: if a cursor is not where it was read
    """
    captured_on = now.date()
    payloads.ensure_partition(captured_on)
    values: dict[str, Any] = {  # Any: the values of a statement
        "source_id": capture.source_id,
        "poll_msc": capture.poll_msc,
        "captured_at": now,
        "captured_on": captured_on,
        "tick_count": sum(part.count for part in capture.parts),
        "first_msc": capture.first_msc,
        "last_msc": capture.last_msc,
        "parts": json.dumps([part.as_json() for part in capture.parts]),
        "publish_again_ms": publish_again_ms,
        "ticks": capture.payload.ticks,
        "marks": capture.payload.marks,
        "context": capture.payload.context,
        "ttl_ms": lease.ttl_ms,
        "fence": lease.fence,
    }
    with connection.cursor() as cursor:
        try:
            cursor.execute(_SAVE, values | cursors.as_columns(moves))
        except DatabaseError as error:
            _tell_lost(error, lease, moves)
            raise
        batch_id = cursor.fetchone()[0]
    return int(batch_id)


def _tell_lost(error: DatabaseError, lease: leases.Held, moves: list[cursors.Move]) -> None:
    """Raise what a refused save means; nothing where the database itself failed."""
    state = getattr(error.__cause__, "sqlstate", None)
    if state == _LEASE_LOST:
        raise leases.lost(lease) from error
    if state == _CURSOR_MOVED:
        raise cursors.moved(moves, str(error).splitlines()[0]) from error


def oldest_waiting() -> int | None:
    """Return the oldest waiting batch that no worker holds, or None. Opens its own transaction."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM ingest_batch WHERE status = 'WAITING' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
        )
        row = cursor.fetchone()
    return row[0] if row else None


def claim(*, batch_id: int) -> Batch:
    """Lock a waiting batch in the caller's transaction and read it.

    :raises BatchUnavailable: if it is done already or another worker holds it
    :raises AttemptUncounted: if :func:`count_attempt` has to come first
    :raises AttemptsExhausted: if it was tried too often without an outcome
    :raises BatchCorrupt: if its bytes are gone or do not match their digests
    """
    return claimed(ask(batch_id=batch_id), batch_id=batch_id)


def ask(*, batch_id: int) -> Cursor[TupleRow]:
    """Ask for a waiting batch in the caller's transaction; the answer is read by :func:`claimed`."""
    with payloads.binary_cursor() as cursor:
        return cursor.execute(_CLAIM, [DOUBTED_PUBLICATIONS, batch_id])


def claimed(cursor: Cursor[TupleRow], *, batch_id: int) -> Batch:
    """Read the batch asked for. Raises as :func:`claim`."""
    row = cursor.fetchone()
    if row is None:
        msg = f"batch {batch_id}: done already or held by another worker"
        raise BatchUnavailable(msg)
    source_id, poll_msc, captured_msc, captured_on, is_uncounted, attempt_count, parts, *payload = row
    if is_uncounted:
        _refuse_more(batch_id, attempt_count)
        raise AttemptUncounted
    return read_row((batch_id, source_id, poll_msc, captured_msc), captured_on, parts, payload)


def read_row(
    head: tuple[int, int, int, int],
    captured_on: dt.date,
    parts: str,
    payload: list[Any],  # Any: bytes, or None where they are gone
) -> Batch:
    """Read a batch from its row: id, source and times, day of capture, parts, and its three blobs of bytes.

    :raises BytesGone: if its bytes were dropped
    :raises BatchCorrupt: if they do not match their digests
    """
    batch_id = head[0]
    if payload[0] is None:
        msg = f"batch {batch_id}: its bytes of {captured_on} are gone"
        raise BytesGone(msg, batch_id=batch_id)
    batch = _build(head, core_batch.parts_from_json(parts), Payload(*payload))
    _verify(batch)
    return batch


def _refuse_more(batch_id: int, attempt_count: int) -> None:
    if attempt_count >= ATTEMPTS_MAX:
        msg = (
            f"batch {batch_id}: tried after {attempt_count} publications without an outcome: its workers were killed, "
            f"or it always ran out of time; their logs say which"
        )
        raise AttemptsExhausted(msg)


def count_attempt(*, batch_id: int) -> None:
    """Count an attempt at a doubted batch, so that it is known if it ends its worker; a transaction of its own.

    Nothing is counted where another worker holds the batch, or has counted for this publication.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ingest_batch b SET attempt_count = b.attempt_count + 1, attempted_publication = b.publish_count"
            " FROM (SELECT id FROM ingest_batch WHERE id = %s AND status = 'WAITING'"
            " AND attempted_publication < publish_count FOR UPDATE SKIP LOCKED) mine WHERE b.id = mine.id",
            [batch_id],
        )


def _build(head: tuple[int, int, int, int], parts: tuple[Part, ...], payload: Payload) -> Batch:
    batch_id, source_id, poll_msc, captured_msc = head
    if not core_batch.payload_fits(parts, payload.ticks, payload.marks, payload.context):
        msg = f"batch {batch_id}: its parts declare {sum(p.count for p in parts)} ticks, its bytes hold other"
        raise BatchCorrupt(msg, batch_id=batch_id)
    seq, late = core_batch.unpack_marks(payload.marks)
    return Batch(
        batch_id=batch_id,
        source_id=source_id,
        poll_msc=poll_msc,
        captured_msc=captured_msc,
        parts=parts,
        ticks=_to_utc(payload.ticks, parts, [part.count for part in parts]),
        seq=seq,
        late=late,
        context=_to_utc(payload.context, parts, [part.context_count for part in parts]),
    )


def _to_utc(raw: bytes, parts: tuple[Part, ...], counts: list[int]) -> Ticks:
    """Read packed ticks and move them from each part's terminal clock to UTC."""
    ticks = tick_arrays.from_bytes(raw)
    if all(part.offset_ms == 0 for part in parts):
        return ticks
    return tick_arrays.shift_each(ticks, -np.repeat([part.offset_ms for part in parts], counts))


def _verify(batch: Batch) -> None:
    hours = batch.ticks["time_msc"] // HOUR_MS
    found = digest.by_part(batch.ticks, [part.count for part in batch.parts], hours)
    for part, own in zip(batch.parts, found, strict=True):
        if own != part.hours:
            msg = (
                f"batch {batch.batch_id}: digest of feed {part.feed_id} expected "
                f"{digest.total(part.hours.values()).as_list()}, was {digest.total(own.values()).as_list()}"
            )
            raise BatchCorrupt(msg, batch_id=batch.batch_id)


def mark_stored(*, batch_id: int, outcome: list[dict[str, object]]) -> None:
    """Mark a claimed batch stored, in the caller's transaction; the statement fails if it is no longer waiting.

    :raises django.db.DatabaseError: with :data:`NOT_WAITING` as its SQLSTATE
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH marked AS (UPDATE ingest_batch"
            " SET status = 'STORED', stored_at = clock_timestamp(), outcome = %s::jsonb"
            " WHERE id = %s AND status = 'WAITING' RETURNING 1)"
            f" SELECT tickhub_require(count(*), 1, '{NOT_WAITING}', 'batch marked stored') FROM marked",
            [json.dumps(outcome), batch_id],
        )


@dataclass(frozen=True, slots=True)
class Restated:
    """What a stored batch's row is to say of its ticks from now on."""

    batch_id: int
    first_msc: int
    last_msc: int
    parts: tuple[Part, ...]
    outcome: list[dict[str, Any]]  # Any: JSON


def restate(batches: Sequence[Restated]) -> None:
    """Let stored batches say when their ticks were by a corrected clock, in the caller's transaction; the bytes stay.

    :raises BatchUnavailable: if one of them is not stored
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ingest_batch b SET first_msc = n.first_msc, last_msc = n.last_msc, parts = n.parts::jsonb,"
            " outcome = n.outcome::jsonb FROM unnest(%s::int8[], %s::int8[], %s::int8[], %s::text[], %s::text[])"
            " AS n (id, first_msc, last_msc, parts, outcome) WHERE b.id = n.id AND b.status = 'STORED'",
            [
                [batch.batch_id for batch in batches],
                [batch.first_msc for batch in batches],
                [batch.last_msc for batch in batches],
                [json.dumps([part.as_json() for part in batch.parts]) for batch in batches],
                [json.dumps(batch.outcome) for batch in batches],
            ],
        )
        if cursor.rowcount != len(batches):
            msg = (
                f"batches {batches[0].batch_id} to {batches[-1].batch_id}: {cursor.rowcount} of {len(batches)} "
                f"are stored"
            )
            raise BatchUnavailable(msg)


def lock_stored(*, batch_id: int) -> None:
    """Lock a stored batch in the caller's transaction: what becomes of its ticks is changed by one at a time.

    :raises BatchUnavailable: if it is not stored
    """
    rows = BatchRow.objects.select_for_update().filter(pk=batch_id, status=BatchRow.Status.STORED)
    if not rows.exists():
        msg = f"batch {batch_id}: not stored"
        raise BatchUnavailable(msg)


def recount(*, batch_id: int, outcome: list[dict[str, Any]]) -> None:  # Any: JSON
    """Let a batch locked by :func:`lock_stored` say anew what became of its ticks, in the caller's transaction."""
    BatchRow.objects.filter(pk=batch_id, status=BatchRow.Status.STORED).update(outcome=outcome)


def mark_failed(*, batch_id: int, failure: str) -> int | None:
    """Fail a batch that is still waiting, in the caller's transaction; its bytes stay.

    Returns its source's id, or None if it is not waiting.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ingest_batch SET status = 'FAILED', failure = %s WHERE id = %s AND status = 'WAITING'"
            " RETURNING source_id",
            [failure, batch_id],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def release_failed(*, batch_ids: Sequence[int] | None) -> list[int]:
    """Put failed batches (all, with None) back to waiting, due at once; return their ids."""
    rows = BatchRow.objects.filter(status=BatchRow.Status.FAILED)
    if batch_ids is not None:
        rows = rows.filter(pk__in=batch_ids)
    with transaction.atomic(durable=True):
        ids = list(rows.order_by("pk").select_for_update().values_list("pk", flat=True))
        BatchRow.objects.filter(pk__in=ids).update(
            status=BatchRow.Status.WAITING,
            failure="",
            publish_count=0,
            attempt_count=0,
            attempted_publication=0,
            next_publish_at=clock.now(),
        )
    return ids


def take_due(*, limit: int, publish_again_ms: int, most_ms: int) -> list[int]:
    """Return the oldest waiting batches whose turn to be published has come, and set their next turn.

    The wait doubles with each turn, up to ``most_ms``.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ingest_batch b SET publish_count = least(b.publish_count + 1, %s), next_publish_at ="
            " clock_timestamp() + least(%s * 2 ^ least(b.publish_count, 20), %s) * interval '1 ms'"
            " FROM (SELECT id FROM ingest_batch WHERE status = 'WAITING' AND next_publish_at <= clock_timestamp()"
            " ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) due WHERE b.id = due.id RETURNING b.id",
            [_PUBLICATIONS_MOST, publish_again_ms, most_ms, limit],
        )
        return sorted(row[0] for row in cursor.fetchall())


def first_waiting_msc(*, source_id: int) -> int | None:
    """Return the earliest tick (UTC) of the source's waiting batches, None where none waits."""
    found = BatchRow.objects.filter(source_id=source_id, status=BatchRow.Status.WAITING).aggregate(
        first=Min("first_msc")
    )
    return found["first"]
