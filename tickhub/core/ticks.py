"""The tick as MetaTrader 5 hands it out: one packed record of 60 bytes, and the arrays made of it."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

# The record of copy_ticks_* in the MetaTrader5 package (64-bit, packed): the struct MqlTick.
TICK_DTYPE = np.dtype(
    [
        ("time", "<i8"),
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("last", "<f8"),
        ("volume", "<u8"),
        ("time_msc", "<i8"),
        ("flags", "<u4"),
        ("volume_real", "<f8"),
    ]
)
TICK_SIZE_BYTES = TICK_DTYPE.itemsize
BATCH_TICKS_MAX = 65_536
_OPAQUE = np.dtype((np.void, TICK_SIZE_BYTES))

# NumPy's structured arrays have no static type of their own, hence Any for the record.
Ticks: TypeAlias = npt.NDArray[Any]
Mask: TypeAlias = npt.NDArray[np.bool_]
Int64s: TypeAlias = npt.NDArray[np.int64]
UInt64s: TypeAlias = npt.NDArray[np.uint64]


def empty() -> Ticks:
    """Return a read-only array of no ticks."""
    return from_bytes(b"")


def from_bytes(raw: bytes | memoryview) -> Ticks:
    """Read ticks from packed records without copying; the array is read-only.

    :raises ValueError: if the length is no multiple of 60 bytes
    """
    ticks = np.frombuffer(raw, dtype=TICK_DTYPE)
    ticks.flags.writeable = False
    return ticks


def freeze(ticks: Ticks) -> Ticks:
    """Make an array read-only and return it."""
    ticks.flags.writeable = False
    return ticks


def shift(ticks: Ticks, offset_ms: int) -> Ticks:
    """Return the ticks with both of their times moved by ``offset_ms`` (whole seconds), the rest untouched."""
    if offset_ms == 0:
        return ticks
    moved = ticks.copy()
    moved["time_msc"] += offset_ms
    moved["time"] += offset_ms // 1000
    return freeze(moved)


def shift_each(ticks: Ticks, offsets_ms: Int64s) -> Ticks:
    """Return the ticks with both times moved, each by its own offset (whole seconds), shape (n,)."""
    if not offsets_ms.any():
        return ticks
    moved = ticks.copy()
    moved["time_msc"] += offsets_ms
    moved["time"] += offsets_ms // 1000
    return freeze(moved)


def records(ticks: Ticks) -> npt.NDArray[np.void]:
    """View each tick as one opaque value of 60 bytes, so that equality means equal bits.

    shape (n,), dtype V60; a copy only where the array is not contiguous.
    """
    return np.ascontiguousarray(ticks).view(_OPAQUE)


def join(pieces: Sequence[Ticks]) -> Ticks:
    """Concatenate arrays of ticks; the result is new.

    As opaque records: NumPy would compare the fields of every array with every other's first.
    """
    if not pieces:
        return empty()
    return np.concatenate([records(piece) for piece in pieces]).view(TICK_DTYPE)


def same(left: Ticks, right: Ticks) -> bool:
    """Return whether two arrays hold the same bits in the same order (NaN equals itself)."""
    return len(left) == len(right) and (
        np.ascontiguousarray(left).view(np.uint8).tobytes() == np.ascontiguousarray(right).view(np.uint8).tobytes()
    )


def position_in_group(keys: npt.NDArray[Any]) -> Int64s:
    """Number equal neighbours of a grouped array from 0: ``[5, 5, 7, 7, 7] -> [0, 1, 0, 1, 2]``."""
    index = np.arange(len(keys), dtype=np.int64)
    if len(keys) == 0:
        return index
    starts = np.concatenate(([True], keys[1:] != keys[:-1]))
    return index - np.maximum.accumulate(np.where(starts, index, 0))


def as_bytes(ticks: Ticks) -> npt.NDArray[np.uint8]:
    """View ticks as rows of their 60 bytes, shape (n, 60)."""
    return np.ascontiguousarray(ticks).view(np.uint8).reshape(len(ticks), TICK_SIZE_BYTES)
