"""Writes the ticks of a batch by COPY, in the caller's transaction. Sole writer of the tick table.

In ordinary capture no key exists already. Where one does (the server refuses the COPY), rows equal in every value are
duplicates; the same key with other values is a collision, and the new tick is stored under the next free seq.
"""

from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from django.db import DataError, IntegrityError, connection, transaction
from psycopg.errors import CheckViolation, UniqueViolation

from storage import arrays, packing, partitions, reader
from storage.packing import Rows
from storage.reader import Stored
from tickhub.core.batch import SEQ_MAX, Batch
from tickhub.core.errors import PermanentError, TransientError
from tickhub.core.flags import Flag, FlagArray
from tickhub.core.ticks import Int64s, Mask

_COPY = f"COPY tick ({', '.join(name for name, _ in packing.COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_INSERT = (
    f"INSERT INTO tick ({', '.join(name for name, _ in packing.COLUMNS)})"
    f" SELECT * FROM unnest({', '.join('%s' for _ in packing.COLUMNS)})"
)
# Up to here one INSERT costs less than the round trip that COPY needs beside it.
INSERT_ROWS_MAX = 1_000
BAD_ROWS_MAX = 32
_REQUALIFY = (
    "UPDATE tick t SET quality = nullif(n.after, 0)"
    " FROM unnest(%s::int2[], %s::int8[], %s::int2[], %s::int8[], %s::int4[], %s::int4[])"
    " AS n (feed_id, time_msc, seq, batch_id, before, after)"
    " WHERE t.feed_id = n.feed_id AND t.time_msc = n.time_msc AND t.seq = n.seq AND t.batch_id = n.batch_id"
    " AND coalesce(t.quality, 0) = n.before AND t.time_msc >= %s AND t.time_msc <= %s"
)


class PartitionMissing(TransientError):
    """A day's partition is not there (any more): it is made again and the batch retried."""


class FlagsChanged(PermanentError):
    """Stored ticks do not carry the flags that were read of them a moment ago."""


class TooManyBadRows(PermanentError):
    """More rows of one batch are refused than bisecting may single out."""


@dataclass(frozen=True, slots=True)
class Collision:
    """A key that was stored already with other values; ``stored`` and ``new`` are the rows' bytes in hexadecimal."""

    feed_id: int
    time_msc: int
    seq: int
    new_seq: int
    stored: str
    new: str


@dataclass(slots=True)
class Written:
    """What became of a batch's ticks: one mark per tick of the batch."""

    is_stored: Mask
    is_duplicate: Mask
    is_refused: Mask
    is_collision: Mask
    collisions: list[Collision] = field(default_factory=list)


def rows_of(batch: Batch, *, flags: FlagArray) -> Rows:
    """Return all ticks of a batch as rows in key order."""
    return Rows(
        feed_id=batch.feed_of_tick(), seq=batch.seq, ticks=batch.ticks, quality=flags, batch_id=batch.batch_id
    ).sorted_by_key()


def all_stored(batch: Batch) -> Written:
    """Return what became of a batch whose rows were all accepted."""
    none = np.zeros(len(batch.ticks), dtype=bool)
    return Written(is_stored=~none, is_duplicate=none, is_refused=none, is_collision=none)


def insert(rows: Rows) -> None:
    """Insert a few rows with one statement, whose answer need not be waited for; COPY needs two round trips.

    :raises django.db.IntegrityError, django.db.DataError: if a row is refused, a partition missing
    """
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, arrays.columns(rows))


def copy(rows: Rows) -> None:
    """Write rows as they stand, all or none.

    :raises django.db.IntegrityError, django.db.DataError: if a row is refused, a partition missing
    """
    # Django does not wrap the errors of copy() by itself.
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(_COPY) as stream:
        stream.write(packing.pack(rows))


def requalify(stored: Stored, *, after: FlagArray) -> None:
    """Give stored ticks other quality flags, in the caller's transaction; nothing else of them changes.

    :raises FlagsChanged: if one of them is not there, or carries other flags than were read
    """
    times = stored.ticks["time_msc"]
    if len(times) == 0:
        return
    columns = (stored.feed_id, times, stored.seq, stored.batch_id, stored.quality, after)
    with connection.cursor() as cursor:
        packed = [arrays.of_integers(column) for column in columns]
        cursor.execute(_REQUALIFY, [*packed, int(times.min()), int(times.max())])
        if cursor.rowcount != len(times):
            msg = f"ticks from {times.min()} to {times.max()}: {len(times)} were read, {cursor.rowcount} are as read"
            raise FlagsChanged(msg)


def remove(*, feed_ids: list[int], from_msc: int, to_msc: int) -> int:
    """Delete feeds' rows within ``[from_msc, to_msc)``, in the caller's transaction; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM tick WHERE feed_id = ANY(%s::int2[]) AND time_msc >= %s AND time_msc < %s",
            [feed_ids, from_msc, to_msc],
        )
        return int(cursor.rowcount)


def write(batch: Batch, *, flags: FlagArray, without: Mask) -> Written:
    """Write a batch's ticks but those marked in ``without``, under savepoints, and settle the rows refused.

    :raises PartitionMissing: if a day has no partition
    :raises TooManyBadRows: if the server refuses more than 32 rows one by one
    """
    place = np.flatnonzero(~without)
    rows = Rows(
        feed_id=batch.feed_of_tick()[place],
        seq=batch.seq[place],
        ticks=batch.ticks[place] if len(place) < len(batch.ticks) else batch.ticks,
        quality=flags[place],
        batch_id=batch.batch_id,
    )
    none = np.zeros(len(batch.ticks), dtype=bool)
    written = Written(is_stored=none, is_duplicate=none.copy(), is_refused=none.copy(), is_collision=none.copy())
    if len(rows) == 0:
        return written
    order = rows.sorted_by_key()
    if order is not rows:
        place = place[np.lexsort((rows.seq, rows.ticks["time_msc"], rows.feed_id))]
    _store(order, place, written)
    return written


def _is_partition_missing(error: IntegrityError) -> bool:
    """Return whether a day has no partition: a check's violation of which no constraint is named."""
    cause = error.__cause__
    return isinstance(cause, CheckViolation) and not cause.diag.constraint_name


def _tell_missing(rows: Rows, error: IntegrityError) -> NoReturn:
    partitions.forget()
    msg = f"batch {rows.batch_id}: {str(error).splitlines()[0]}"
    raise PartitionMissing(msg) from error


def _store(rows: Rows, place: Int64s, written: Written) -> None:
    """Store sorted rows; ``place`` says where each stands in the batch."""
    try:
        with transaction.atomic():
            copy(rows)
    except IntegrityError as error:
        _mend(rows, place, written, error)
    except DataError as error:
        _bisect(rows, place, written, error)
    else:
        written.is_stored[place] = True


def _mend(rows: Rows, place: Int64s, written: Written, error: IntegrityError) -> None:
    if isinstance(error.__cause__, UniqueViolation):
        _store_around(rows, place, written)
    elif _is_partition_missing(error):
        _tell_missing(rows, error)
    else:
        _bisect(rows, place, written, error)


def _store_around(rows: Rows, place: Int64s, written: Written) -> None:
    """Store the rows whose keys are free; settle the others as duplicates and collisions."""
    exists, is_equal, stored = reader.lookup(rows)
    written.is_duplicate[place[is_equal]] = True
    free = np.flatnonzero(~exists)
    if len(free):
        # First, so that a collision does not take the seq of one of them; any of them may still be refused.
        _store(rows.take(free), place[free], written)
    collides = np.flatnonzero(exists & ~is_equal)
    if len(collides):
        seq = reader.next_free_seqs(rows.take(collides))
        has_seq = seq <= SEQ_MAX
        # A millisecond that is full is no place for another row: it is held.
        written.is_refused[place[collides[~has_seq]]] = True
        _store_beside(rows, collides[has_seq], seq[has_seq], place, stored, written)


def _store_beside(
    rows: Rows, collides: Int64s, seq: Int64s, place: Int64s, stored: dict[int, bytes], written: Written
) -> None:
    """Store rows whose keys hold other values under the seqs given."""
    if len(collides) == 0:
        return
    moved = rows.take(collides)
    for index, new_seq in zip(collides.tolist(), seq.tolist(), strict=True):
        written.collisions.append(_collision(rows, index, new_seq, stored[index]))
    quality = moved.quality | np.int32(Flag.COLLISION)
    copy(Rows(moved.feed_id, seq.astype(np.int16), moved.ticks, quality, rows.batch_id).sorted_by_key())
    written.is_stored[place[collides]] = True
    written.is_collision[place[collides]] = True


def _collision(rows: Rows, index: int, new_seq: int, stored: bytes) -> Collision:
    return Collision(
        feed_id=int(rows.feed_id[index]),
        time_msc=int(rows.ticks["time_msc"][index]),
        seq=int(rows.seq[index]),
        new_seq=new_seq,
        stored=stored.hex(),
        new=rows.ticks[index : index + 1].tobytes().hex(),
    )


def _bisect(rows: Rows, place: Int64s, written: Written, error: Exception) -> None:
    """Halve until the refused rows stand alone; they are marked, the others stored."""
    if len(rows) == 1:
        written.is_refused[place] = True
        if int(written.is_refused.sum()) > BAD_ROWS_MAX:
            msg = f"batch {rows.batch_id}: over {BAD_ROWS_MAX} rows refused, the last: {error}"
            raise TooManyBadRows(msg) from error
        return
    middle = len(rows) // 2
    _store(rows.take(slice(None, middle)), place[:middle], written)
    _store(rows.take(slice(middle, None)), place[middle:], written)
