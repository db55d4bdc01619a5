"""Packs ticks into rows of PostgreSQL's binary COPY format, without a loop per tick.

Format: PostgreSQL manual, COPY, "Binary Format": a 19-byte header, then for each row its column count (int16) and for
each column its length (int32, -1 for NULL) and its bytes, big-endian; a trailer of -1 (int16).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tickhub.core.flags import FlagArray
from tickhub.core.ticks import Ticks

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"

# The order of the columns in the table: wide before narrow, so that no byte is spent on alignment.
COLUMNS = (
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
# NULL where all bits of the value are zero: no price on this side, no volume, no flag. Zero takes no room.
NULLABLE = ("bid", "ask", "last", "volume", "volume_real", "quality")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of the tick table as columns of equal length, in the order to be written; one batch, or each its own."""

    feed_id: npt.NDArray[np.int16]
    seq: npt.NDArray[np.int16]
    ticks: Ticks
    quality: FlagArray
    batch_id: "int | npt.NDArray[np.int64]"

    def __len__(self) -> int:
        return len(self.ticks)

    def take(self, which: npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice) -> "Rows":
        """Return some of the rows."""
        batch_id = self.batch_id if isinstance(self.batch_id, int) else self.batch_id[which]
        return Rows(self.feed_id[which], self.seq[which], self.ticks[which], self.quality[which], batch_id)

    def sorted_by_key(self) -> "Rows":
        """Return the rows in key order, (feed, time_msc, seq); the same object where they are already."""
        time = self.ticks["time_msc"]
        if len(self) < 2 or self._is_sorted():
            return self
        return self.take(np.lexsort((self.seq, time, self.feed_id)))

    def _is_sorted(self) -> bool:
        feed, time, seq = self.feed_id, self.ticks["time_msc"], self.seq
        same_feed = feed[1:] == feed[:-1]
        same_time = time[1:] == time[:-1]
        in_order = (feed[1:] > feed[:-1]) | (same_feed & ((time[1:] > time[:-1]) | (same_time & (seq[1:] > seq[:-1]))))
        return bool(in_order.all())


def column(rows: Rows, name: str) -> npt.NDArray[np.generic] | int:
    """Return a column's values, or the one value that all rows share."""
    match name:
        case "batch_id":
            return rows.batch_id
        case "feed_id":
            return rows.feed_id
        case "seq":
            return rows.seq
        case "quality":
            return rows.quality
    values: npt.NDArray[np.generic] = rows.ticks[name]
    return values


def pack(rows: Rows) -> bytes:
    """Pack rows for ``COPY tick (…) FROM STDIN (FORMAT BINARY)``, header and trailer included.

    Columns in the order of :data:`COLUMNS`. Nullness may differ from row to row; rows that share it pack fastest.
    """
    has_values = present(rows)
    uniform = {name: bool(mask.all()) for name, mask in has_values.items() if mask.all() or not mask.any()}
    if len(uniform) == len(has_values):
        return b"".join((HEADER, _pack_uniform(rows, uniform), TRAILER))
    return b"".join((HEADER, _pack_mixed(rows, has_values), TRAILER))


def present(rows: Rows) -> dict[str, npt.NDArray[np.bool_]]:
    """Return for each nullable column where it has a value: where any bit is set (-0.0 is a value)."""
    masks: dict[str, npt.NDArray[np.bool_]] = {"quality": rows.quality != 0}
    for name in NULLABLE[:-1]:
        column = rows.ticks[name]
        mask = column != 0
        if column.dtype.kind == "f" and not mask.all():
            mask = mask | np.signbit(column)
        masks[name] = mask
    return masks


def _row_dtype(has_value: dict[str, bool]) -> np.dtype[np.void]:
    fields: list[tuple[str, str]] = [("columns", ">i2")]
    for name, form in COLUMNS:
        fields.append((f"{name}_length", ">i4"))
        if has_value.get(name, True):
            fields.append((name, form))
    return np.dtype(fields)


def _fill(packed: npt.NDArray[np.void], rows: Rows, has_value: dict[str, bool]) -> None:
    packed["columns"] = len(COLUMNS)
    for name, form in COLUMNS:
        if not has_value.get(name, True):
            packed[f"{name}_length"] = -1
            continue
        packed[f"{name}_length"] = int(form[-1])
        packed[name] = column(rows, name)


def _pack_uniform(rows: Rows, has_value: dict[str, bool]) -> bytes:
    packed = np.empty(len(rows), dtype=_row_dtype(has_value))
    _fill(packed, rows, has_value)
    return packed.tobytes()


def _pack_mixed(rows: Rows, has_values: dict[str, npt.NDArray[np.bool_]]) -> bytes:
    """Pack every column at full width, then drop the bytes of NULLs, two at a time: every width is even."""
    dtype = _row_dtype({})
    packed = np.empty(len(rows), dtype=dtype)
    _fill(packed, rows, {})
    keep = np.ones((len(rows), dtype.itemsize // 2), dtype=bool)
    for name, mask in has_values.items():
        if mask.all():
            continue
        absent = ~mask
        packed[f"{name}_length"][absent] = -1
        field, offset = dtype.fields[name][:2]  # type: ignore[index]  # a structured dtype has fields
        keep[:, offset // 2 : (offset + field.itemsize) // 2] = mask[:, None]
    return packed.view(np.uint16).reshape(keep.shape)[keep].tobytes()
