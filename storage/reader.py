"""Reads ticks out of PostgreSQL as arrays, without a loop per tick.

The server packs the rows of a piece into one value, which is decoded in place: binary COPY would come as one message
for each row, and measured half as fast.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from django.db import connection
from psycopg import Cursor
from psycopg.rows import TupleRow

from storage import arrays
from storage.packing import Rows
from tickhub.core import digest
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import Digest
from tickhub.core.ticks import TICK_DTYPE, Int64s, Mask, Ticks

# What is read at once: at 68 bytes a row well under the server's limit for one value.
PIECE_TICKS = 500_000
# Columns as the server sends them, big-endian; zero stands as NULL in the table.
_COLUMNS = (
    ("time_msc", ">i8", "int8send(time_msc)"),
    ("batch_id", ">i8", "int8send(batch_id)"),
    ("bid", ">f8", "float8send(coalesce(bid, 0))"),
    ("ask", ">f8", "float8send(coalesce(ask, 0))"),
    ("last", ">f8", "float8send(coalesce(last, 0))"),
    ("volume", ">i8", "int8send(coalesce(volume, 0))"),
    ("volume_real", ">f8", "float8send(coalesce(volume_real, 0))"),
    ("flags", ">i4", "int4send(flags)"),
    ("quality", ">i4", "int4send(coalesce(quality, 0))"),
    ("feed_id", ">i2", "int2send(feed_id)"),
    ("seq", ">i2", "int2send(seq)"),
)
_ROW = np.dtype([(name, form) for name, form, _ in _COLUMNS])
_PACK = f"SELECT string_agg({' || '.join(sent for _, _, sent in _COLUMNS)}, ''::bytea)"
_OF_FEED = (
    f"{_PACK} FROM (SELECT * FROM tick WHERE feed_id = %s AND time_msc >= %s AND time_msc < %s"
    " AND (time_msc, seq) > (%s, %s) ORDER BY time_msc, seq LIMIT %s) AS piece"
)
_OF_BATCH = (
    f"{_PACK} FROM (SELECT * FROM tick WHERE batch_id = %s AND time_msc >= %s AND time_msc <= %s"
    " ORDER BY feed_id, time_msc, seq) AS piece"
)
_OF_BATCH_AT = (
    f"{_PACK} FROM (SELECT t.* FROM tick t JOIN unnest(%s::int2[], %s::int8[]) AS"
    " k (of_feed, at_msc) ON t.feed_id = k.of_feed AND t.time_msc = k.at_msc WHERE t.batch_id = %s"
    " AND t.time_msc >= %s AND t.time_msc <= %s ORDER BY t.feed_id, t.time_msc, t.seq) AS piece"
)
_BEFORE = (
    f"{_PACK} FROM (SELECT * FROM tick WHERE feed_id = %s AND time_msc <= %s AND (time_msc, seq) < (%s, %s)"
    " ORDER BY time_msc DESC, seq DESC LIMIT %s) AS piece"
)
_FROM = (
    f"{_PACK} FROM (SELECT * FROM tick WHERE feed_id = %s AND time_msc >= %s AND (time_msc, seq) >= (%s, %s)"
    " ORDER BY time_msc, seq LIMIT %s) AS piece"
)

_TIMES = (
    "SELECT string_agg(int8send(time_msc), ''::bytea ORDER BY time_msc) FROM tick"
    " WHERE feed_id = %s AND time_msc >= %s AND time_msc < %s"
)


@dataclass(frozen=True, slots=True)
class Stored:
    """Stored ticks in key order (UTC), with what is known of each."""

    ticks: Ticks
    seq: npt.NDArray[np.int16]
    quality: npt.NDArray[np.int32]
    batch_id: Int64s
    feed_id: npt.NDArray[np.int16]

    def take(self, which: slice | Mask) -> "Stored":
        """Return some of the ticks."""
        return Stored(
            self.ticks[which], self.seq[which], self.quality[which], self.batch_id[which], self.feed_id[which]
        )


def read(*, feed_id: int, from_msc: int, to_msc: int) -> Stored:
    """Return a feed's stored ticks within ``[from_msc, to_msc)``, UTC, in key order, all at once."""
    pieces = list(read_pieces(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc))
    if len(pieces) == 1:
        return pieces[0]
    nothing = _decode(None)
    return Stored(
        ticks=tick_arrays.join([piece.ticks for piece in pieces]),
        seq=np.concatenate([nothing.seq, *(piece.seq for piece in pieces)]),
        quality=np.concatenate([nothing.quality, *(piece.quality for piece in pieces)]),
        batch_id=np.concatenate([nothing.batch_id, *(piece.batch_id for piece in pieces)]),
        feed_id=np.concatenate([nothing.feed_id, *(piece.feed_id for piece in pieces)]),
    )


def read_pieces(*, feed_id: int, from_msc: int, to_msc: int) -> Iterator[Stored]:
    """Yield a feed's stored ticks in key order, at most 500,000 at once."""
    last_msc, last_seq = from_msc, -1
    while True:
        values = [feed_id, last_msc, to_msc, last_msc, last_seq, PIECE_TICKS]
        piece = _decode(_fetch(_OF_FEED, values))
        if len(piece.ticks):
            yield piece
        if len(piece.ticks) < PIECE_TICKS:
            return
        last_msc, last_seq = int(piece.ticks["time_msc"][-1]), int(piece.seq[-1])


def around(*, feed_id: int, time_msc: int, seq: int, count: int) -> tuple[Stored, Stored]:
    """Return up to ``count`` stored ticks of a feed before a key, and ``count`` from it on, each in key order."""
    key = [feed_id, time_msc, time_msc, seq, count]
    before = _decode(_fetch(_BEFORE, key))
    return before.take(slice(None, None, -1)), _decode(_fetch(_FROM, key))


def read_times(*, feed_id: int, from_msc: int, to_msc: int) -> Int64s:
    """Return only the times of a feed's stored ticks within ``[from_msc, to_msc)``, UTC milliseconds, ascending."""
    packed = _fetch(_TIMES, [feed_id, from_msc, to_msc])
    return np.frombuffer(packed or b"", dtype=">i8").astype(np.int64)


def flagged_by_hour(
    *, feed_id: int, from_msc: int, to_msc: int, masks: Sequence[int]
) -> dict[int, tuple[int, list[int]]]:
    """Count a feed's stored ticks within ``[from_msc, to_msc)`` by UTC hour (since 1970): all, and for each mask those
    that carry any of its quality flags."""
    counts = ", ".join("count(*) FILTER (WHERE quality & %s <> 0)" for _ in masks)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT time_msc / {HOUR_MS}, count(*), {counts} FROM tick"
            " WHERE feed_id = %s AND time_msc >= %s AND time_msc < %s GROUP BY 1 ORDER BY 1",
            [*masks, feed_id, from_msc, to_msc],
        )
        return {hour: (count, flagged) for hour, count, *flagged in cursor.fetchall()}


def earliest(*, feed_id: int, from_msc: int = -(1 << 62)) -> int | None:
    """Return the time of a feed's first stored tick from an instant on, UTC milliseconds; None where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT time_msc FROM tick WHERE feed_id = %s AND time_msc >= %s ORDER BY time_msc LIMIT 1",
            [feed_id, from_msc],
        )
        row = cursor.fetchone()
    return int(row[0]) if row else None


def earliest_of(*, feed_ids: Sequence[int]) -> int | None:
    """Return the time of the first stored tick of some feeds, UTC milliseconds; None where there is none.

    Asked at once: most of the time goes into planning over all days.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(first.time_msc) FROM unnest(%s::int2[]) AS feed (id) CROSS JOIN LATERAL"
            " (SELECT time_msc FROM tick WHERE feed_id = feed.id ORDER BY time_msc LIMIT 1) AS first",
            [list(feed_ids)],
        )
        row = cursor.fetchone()
    return None if row is None or row[0] is None else int(row[0])


def newest_before(*, feed_id: int, from_msc: int, to_msc: int) -> int | None:
    """Return the time of a feed's newest stored tick within ``[from_msc, to_msc)``, UTC; None where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT time_msc FROM tick WHERE feed_id = %s AND time_msc >= %s AND time_msc < %s"
            " ORDER BY time_msc DESC LIMIT 1",
            [feed_id, from_msc, to_msc],
        )
        row = cursor.fetchone()
    return int(row[0]) if row else None


def read_batch(*, batch_id: int, first_msc: int, last_msc: int) -> Stored:
    """Return the stored ticks of one batch within ``[first_msc, last_msc]`` (UTC) in key order; scans those days."""
    return _decode(_fetch(_OF_BATCH, [batch_id, first_msc, last_msc]))


def read_batch_at(*, batch_id: int, feed_id: npt.NDArray[np.int16], time_msc: Int64s) -> Stored:
    """Return what is stored of one batch at some feeds and milliseconds (UTC), in key order, whatever its seq."""
    if len(time_msc) == 0:
        return _decode(None)
    order = np.lexsort((time_msc, feed_id))
    feeds, times = feed_id[order], time_msc[order]
    is_new = np.ones(len(order), dtype=bool)
    is_new[1:] = (feeds[1:] != feeds[:-1]) | (times[1:] != times[:-1])
    keys = [arrays.of_integers(feeds[is_new]), arrays.of_integers(times[is_new])]
    return _decode(_fetch(_OF_BATCH_AT, [*keys, batch_id, int(times.min()), int(times.max())]))


def _fetch(statement: str, values: Sequence[int | bytes]) -> bytes | None:
    connection.ensure_connection()
    cursor: Cursor[TupleRow]
    # Django's cursors fetch text, in which every byte travels as two digits.
    with connection.wrap_database_errors, connection.connection.cursor(binary=True) as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    return row[0] if row else None


def _decode(raw: bytes | None) -> Stored:
    rows = np.frombuffer(raw or b"", dtype=_ROW)
    ticks = np.empty(len(rows), dtype=TICK_DTYPE)
    for name in ("time_msc", "bid", "ask", "last", "volume", "volume_real", "flags"):
        ticks[name] = rows[name]
    ticks["time"] = ticks["time_msc"] // 1000
    return Stored(
        ticks=tick_arrays.freeze(ticks),
        seq=rows["seq"].astype(np.int16),
        quality=rows["quality"].astype(np.int32),
        batch_id=rows["batch_id"].astype(np.int64),
        feed_id=rows["feed_id"].astype(np.int16),
    )


def digests(*, feed_id: int, from_msc: int, to_msc: int, step_ms: int = HOUR_MS) -> dict[int, Digest]:
    """Read a feed's stored ticks again and digest them by UTC hour, or another step of time (since 1970)."""
    found: dict[int, Digest] = {}
    for stored in read_pieces(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc):
        # A step may be cut between two pieces.
        for step, value in digest.by_key(stored.ticks, stored.ticks["time_msc"] // step_ms).items():
            found[step] = found.get(step, digest.ZERO) + value
    return found


def lookup(rows: Rows) -> tuple[Mask, Mask, dict[int, bytes]]:
    """Look the keys of rows up in the table.

    Returns which rows' keys exist, which of those hold equal values, and the stored records of the others by place.
    """
    exists = np.zeros(len(rows), dtype=bool)
    is_equal = np.zeros(len(rows), dtype=bool)
    others: dict[int, bytes] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT k.n, t.time_msc, coalesce(t.bid, 0), coalesce(t.ask, 0), coalesce(t.last, 0),"
            " coalesce(t.volume, 0), t.flags, coalesce(t.volume_real, 0)"
            " FROM unnest(%s::int2[], %s::int8[], %s::int2[]) WITH ORDINALITY AS k (feed_id, time_msc, seq, n)"
            " JOIN tick t ON t.feed_id = k.feed_id AND t.time_msc = k.time_msc AND t.seq = k.seq",
            [rows.feed_id.tolist(), rows.ticks["time_msc"].tolist(), rows.seq.tolist()],
        )
        for n, time_msc, bid, ask, last, volume, flags, volume_real in cursor:
            place = n - 1
            stored = np.array(
                [(time_msc // 1000, bid, ask, last, volume, time_msc, flags, volume_real)], dtype=TICK_DTYPE
            )
            exists[place] = True
            is_equal[place] = tick_arrays.same(stored, rows.ticks[place : place + 1])
            if not is_equal[place]:
                others[place] = stored.tobytes()
    return exists, is_equal, others


def next_free_seqs(rows: Rows) -> Int64s:
    """Return for each row (in key order) the next free seq of its feed and millisecond, which no column may hold."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT max(t.seq) + 1 FROM tick t WHERE t.feed_id = k.feed_id AND t.time_msc = k.time_msc)"
            " FROM unnest(%s::int2[], %s::int8[]) WITH ORDINALITY AS k (feed_id, time_msc, n) ORDER BY n",
            [rows.feed_id.tolist(), rows.ticks["time_msc"].tolist()],
        )
        base = np.array([row[0] or 0 for row in cursor.fetchall()], dtype=np.int64)
    keys = rows.ticks["time_msc"] * 65_536 + rows.feed_id
    return base + tick_arrays.position_in_group(keys)
