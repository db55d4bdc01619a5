"""Cells of text files as columns of numbers, days and times: what the readers of tick files share."""

import datetime as dt
import re

import numpy as np
import numpy.typing as npt

from tickhub.core.ticks import Int64s, Mask

# Where a cell is no day.
NO_DAY = -(2**31)
_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()
_NUMBER = re.compile(rb"[+-]?(\d+(\.\d*)?|\.\d+)")
_NO_PLAIN_NUMBER = re.compile(rb"[^0-9.\t-]")

Floats = npt.NDArray[np.float64]


def show(cell: bytes) -> str:
    """Return a cell for a message, cut short."""
    return repr(cell[:40].decode("ascii", "replace"))


def days(cells: list[bytes], pattern: "re.Pattern[bytes]") -> Int64s:
    """Return days since 1970 of dates whose year, month and day are the pattern's groups; NO_DAY for what is none."""
    day_of = {cell: _day(cell, pattern) for cell in set(cells)}
    return np.array([day_of[cell] for cell in cells], dtype=np.int64)


def _day(text: bytes, pattern: "re.Pattern[bytes]") -> int:
    match = pattern.fullmatch(text)
    try:
        return dt.date(*map(int, match.groups())).toordinal() - _EPOCH_ORDINAL if match else NO_DAY
    except ValueError:
        return NO_DAY


def in_day(times: list[bytes]) -> Int64s:
    """Return milliseconds of the day of ``HH:MM:SS`` and ``HH:MM:SS.mmm``; -1 for what is no time."""
    lengths = np.fromiter(map(len, times), dtype=np.int64, count=len(times))
    characters = np.array(times, dtype="S12").view(np.uint8).reshape(len(times), 12)
    # Without milliseconds the rest of the twelve characters is zero bytes.
    is_short = lengths == 8
    characters[is_short, 8:] = np.frombuffer(b".000", dtype=np.uint8)
    is_time = (is_short | (lengths == 12)) & (characters[:, [2, 5, 8]] == np.frombuffer(b"::.", np.uint8)).all(axis=1)
    return _milliseconds(characters[:, [0, 1, 3, 4, 6, 7, 9, 10, 11]], is_time)


def in_day_compact(times: list[bytes]) -> Int64s:
    """Return milliseconds of the day of ``HHMMSSmmm``; -1 for what is no time."""
    lengths = np.fromiter(map(len, times), dtype=np.int64, count=len(times))
    return _milliseconds(np.array(times, dtype="S9").view(np.uint8).reshape(len(times), 9), lengths == 9)


def _milliseconds(characters: npt.NDArray[np.uint8], is_time: Mask) -> Int64s:
    """Read rows of nine digits: hours, minutes, seconds, thousandths."""
    numbers = characters.astype(np.int64) - ord("0")
    hours, minutes, seconds = (numbers[:, i] * 10 + numbers[:, i + 1] for i in (0, 2, 4))
    is_good = is_time & ((numbers >= 0) & (numbers <= 9)).all(axis=1) & (hours < 24) & (minutes < 60) & (seconds < 60)
    thousandths = numbers[:, 6] * 100 + numbers[:, 7] * 10 + numbers[:, 8]
    found: Int64s = np.where(is_good, ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths, -1)
    return found


def numbers(cells: list[bytes]) -> tuple[Floats, Mask]:
    """Return the values of cells, zero where one is empty, and where one is no number."""
    is_bad = np.zeros(len(cells), dtype=np.bool_)
    filled = [cell or b"0" for cell in cells]
    if not _NO_PLAIN_NUMBER.search(b"\t".join(filled)):
        try:
            return np.array(list(map(float, filled)), dtype=np.float64), is_bad
        except ValueError:
            pass  # a field such as "1.2.3": look at each
    for place, cell in enumerate(filled):
        if not _NUMBER.fullmatch(cell):
            filled[place], is_bad[place] = b"0", True
    return np.array(list(map(float, filled)), dtype=np.float64), is_bad
