"""Reads the hour files of Dukascopy (``.bi5``): LZMA, records of 20 bytes, big-endian.

A record is the milliseconds since the hour began, ask and bid in points (integers), ask and bid volume (float32). The
layout is described in ninety47/dukascopy (README.md) and in the structure files of catataw/mt4-mql.
"""

import lzma

import numpy as np
import numpy.typing as npt

from ingest.sources.providers.loaded import EXAMPLES_MAX, Unreadable
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import HOUR_MS
from tickhub.core.ticks import TICK_DTYPE, Ticks

RECORD = np.dtype([("after_ms", ">i4"), ("ask", ">i4"), ("bid", ">i4"), ("ask_volume", ">u4"), ("bid_volume", ">u4")])
# Far beyond any market's hour: a file that unpacks to more is no hour file.
_UNPACKED_BYTES_MAX = 128 << 20
_SIGN = np.uint32(1 << 31)
_QUOTE_FLAGS = 2 | 4


def unpack(raw: bytes) -> npt.NDArray[np.void]:
    """Return a file's records; an empty file is an hour without ticks.

    :raises Unreadable: if the file is truncated or damaged
    """
    if not raw:
        return np.zeros(0, dtype=RECORD)
    unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_AUTO)
    try:
        data = unpacker.decompress(raw, max_length=_UNPACKED_BYTES_MAX)
    except (lzma.LZMAError, EOFError) as error:
        raise Unreadable(f"is damaged: {error}") from error
    if not unpacker.eof:
        too_long = len(data) >= _UNPACKED_BYTES_MAX
        raise Unreadable("is damaged: unpacks to over 128 MiB" if too_long else "is truncated")
    if unpacker.unused_data:
        raise Unreadable(f"is damaged: {len(unpacker.unused_data)} bytes behind its end")
    if len(data) % RECORD.itemsize:
        raise Unreadable(f"is damaged: {len(data)} bytes are no whole number of 20-byte records")
    return np.frombuffer(data, dtype=RECORD)


def read(raw: bytes, *, hour_msc: int, digits: int) -> tuple[Ticks, dict[int, str]]:
    """Return a file's ticks in its order, and why a record is none, by its place.

    The record of a tick has no place for two volumes: ``volume`` holds the bits of both float32, bid low and ask high,
    and ``volume_real`` is 0.

    :raises Unreadable: if the file is truncated or damaged
    """
    rows = unpack(raw)
    bad: dict[int, str] = {}
    # The highest bit would not fit the table's signed volume: a negative volume is none.
    is_negative = ((rows["ask_volume"] | rows["bid_volume"]) & _SIGN) != 0
    is_outside = (rows["after_ms"] < 0) | (rows["after_ms"] >= HOUR_MS)
    for place in np.flatnonzero(is_negative | is_outside).tolist():
        reason = f"{rows['after_ms'][place]} ms is not in the hour" if is_outside[place] else "a volume is negative"
        bad[place] = reason
    rows = rows[~(is_negative | is_outside)]
    ticks = np.zeros(len(rows), dtype=TICK_DTYPE)
    ticks["time_msc"] = hour_msc + rows["after_ms"].astype(np.int64)
    ticks["time"] = ticks["time_msc"] // 1000
    # A division by a power of ten gives the double that the decimal number is read as.
    ticks["bid"], ticks["ask"] = rows["bid"] / 10.0**digits, rows["ask"] / 10.0**digits
    ticks["volume"] = rows["bid_volume"].astype(np.uint64) | (rows["ask_volume"].astype(np.uint64) << np.uint64(32))
    ticks["flags"] = _QUOTE_FLAGS
    return tick_arrays.freeze(ticks), bad


def examples(bad: dict[int, str]) -> list[str]:
    """Return the first bad records for a note."""
    return [f"record {place + 1}: {bad[place]}" for place in sorted(bad)[:EXAMPLES_MAX]]
