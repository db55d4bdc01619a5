"""Reads ticks out of PostgreSQL as arrays, through binary COPY and without a loop per tick."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from django.db import connection

from storage.packing import Rows
from tickhub.core import digest
from tickhub.core import ticks as tick_arrays
from tickhub.core.digest import Digest
from tickhub.core.ticks import TICK_DTYPE, Int64s, Mask, Ticks

# Zero stands as NULL in the table; on the way out every row gets the same width.
_SELECT = (
    "SELECT time_msc, batch_id, coalesce(bid, 0), coalesce(ask, 0), coalesce(last, 0), coalesce(volume, 0),"
    " coalesce(volume_real, 0), flags, coalesce(quality, 0), feed_id, seq FROM tick"
)
_COLUMNS = (
    ("time_msc", ">i8"),
    ("batch_id", ">i8"),
    ("bid", ">f8"),
    ("ask", ">f8"),
    ("last", ">f8"),
    ("volume", ">i8"),
    ("volume_real", ">f8"),
    ("flags", ">i4"),
    ("quality", ">i4"),
    ("feed_id", ">i2"),
    ("seq", ">i2"),
)
_ROW = np.dtype(
    [
        ("columns", ">i2"),
        *(pair for name, form in _COLUMNS for pair in ((f"{name}_length", ">i4"), (name, form))),
    ]
)
_HEADER_BYTES = 19


@dataclass(frozen=True, slots=True)
class Stored:
    """Stored ticks in key order (UTC), with what is known of each."""

    ticks: Ticks
    seq: npt.NDArray[np.int16]
    quality: npt.NDArray[np.int32]
    batch_id: Int64s
    feed_id: npt.NDArray[np.int16]


def read(*, feed_id: int, from_msc: int, to_msc: int) -> Stored:
    """Return a feed's stored ticks within ``[from_msc, to_msc)``, UTC, in key order."""
    raw = _copy_out(
        f"{_SELECT} WHERE feed_id = {int(feed_id)} AND time_msc >= {int(from_msc)} AND time_msc < {int(to_msc)}"
        " ORDER BY time_msc, seq"
    )
    return _decode(raw)


def read_batch(*, batch_id: int) -> Stored:
    """Return one batch's stored ticks (UTC) in key order; scans every partition that the batch may have reached."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT first_msc, last_msc FROM ingest_batch WHERE id = %s", [batch_id])
        first_msc, last_msc = cursor.fetchone()
    return _decode(
        _copy_out(
            f"{_SELECT} WHERE batch_id = {int(batch_id)}"
            f" AND time_msc >= {int(first_msc)} AND time_msc <= {int(last_msc)}"
            " ORDER BY feed_id, time_msc, seq"
        )
    )


def read_days(*, feed_id: int, from_msc: int, to_msc: int, step_ms: int = 86_400_000) -> Iterator[Stored]:
    """Yield a feed's stored ticks in pieces of at most one UTC day, leaving out days without a tick."""
    start = from_msc
    while start < to_msc:
        first = _first_from(feed_id, start, to_msc)
        if first is None:
            return
        end = min((first // step_ms + 1) * step_ms, to_msc)
        yield read(feed_id=feed_id, from_msc=first, to_msc=end)
        start = end


def _first_from(feed_id: int, from_msc: int, to_msc: int) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT time_msc FROM tick WHERE feed_id = %s AND time_msc >= %s AND time_msc < %s"
            " ORDER BY time_msc LIMIT 1",
            [feed_id, from_msc, to_msc],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _copy_out(select: str) -> bytes:
    statement = f"COPY ({select}) TO STDOUT (FORMAT BINARY)"
    # Django does not wrap the errors of copy() by itself.
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        return b"".join(bytes(piece) for piece in copy)


def _decode(raw: bytes) -> Stored:
    rows = np.frombuffer(raw, dtype=_ROW, offset=_HEADER_BYTES, count=(len(raw) - _HEADER_BYTES) // _ROW.itemsize)
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


def digests(*, feed_id: int, from_msc: int, to_msc: int) -> dict[int, Digest]:
    """Read a feed's stored ticks again and digest them by UTC hour (since 1970)."""
    found: dict[int, Digest] = {}
    for stored in read_days(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc):
        found |= digest.by_key(stored.ticks, stored.ticks["time_msc"] // 3_600_000)
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


def next_free_seqs(rows: Rows) -> npt.NDArray[np.int16]:
    """Return for each row (in key order) the next free seq of its feed and millisecond."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT max(t.seq) + 1 FROM tick t WHERE t.feed_id = k.feed_id AND t.time_msc = k.time_msc)"
            " FROM unnest(%s::int2[], %s::int8[]) WITH ORDINALITY AS k (feed_id, time_msc, n) ORDER BY n",
            [rows.feed_id.tolist(), rows.ticks["time_msc"].tolist()],
        )
        base = np.array([row[0] or 0 for row in cursor.fetchall()], dtype=np.int64)
    keys = rows.ticks["time_msc"] * 65_536 + rows.feed_id
    return (base + tick_arrays.position_in_group(keys)).astype(np.int16)
