"""Reads lines of quotes separated by commas, as HistData and TrueFX write them; their times stay as written."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingest.sources import cells
from ingest.sources.cells import Floats
from ingest.sources.providers.loaded import EXAMPLES_MAX, Piece, Unreadable
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import TICK_DTYPE, Int64s, Ticks

_DATE = re.compile(rb"(\d{4})(\d{2})(\d{2})")
_BLOCK_LINES = 65_536
_VOLUME_END = 2.0**63
# Flag bits of a record whose export has none: bid and ask given, and a volume above zero.
_QUOTE, _VOLUME = 2 | 4, 16


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a provider's lines by place; ``time_of_day`` reads the part of the time behind the blank."""

    columns: int
    time_at: int
    bid_at: int
    ask_at: int
    volume_at: int | None
    pair_at: int | None
    time_of_day: Callable[[list[bytes]], Int64s]


@dataclass(slots=True)
class _Columns:
    """The good rows of a file so far, and the bad ones by line number."""

    pieces: list[Ticks]
    bad: dict[int, str]


def read(raw: bytes, layout: Layout, *, symbol: str, path: Path, first_line: int = 1) -> Piece:
    """Read lines in their order; what is no quote is counted.

    :raises Unreadable: if no line is good
    """
    lines = raw.replace(b"\r\n", b"\n").split(b"\n")
    found = _Columns([], {})
    # Blocks, so that the fields of a long file are not all in memory as objects of their own.
    for start in range(first_line - 1, len(lines), _BLOCK_LINES):
        _read_block(lines[start : start + _BLOCK_LINES], start + 1, layout, symbol, found)
    ticks = tick_arrays.join(found.pieces)
    bad = found.bad
    if not len(ticks):
        raise Unreadable("holds no good line" + (f", line {min(bad)}: {bad[min(bad)]}" if bad else ""))
    examples = [f"line {number}: {bad[number]}" for number in sorted(bad)[:EXAMPLES_MAX]]
    return Piece(symbol, path, tick_arrays.freeze(ticks), len(bad), examples)


def _read_block(lines: list[bytes], first_number: int, layout: Layout, symbol: str, found: _Columns) -> None:
    numbers: list[int] = []
    good: list[bytes] = []
    for number, line in enumerate(lines, first_number):
        commas = line.count(b",")
        if commas == layout.columns - 1:
            numbers.append(number)
            good.append(line.strip())
        elif line.strip():
            found.bad[number] = f"{commas + 1} fields, expected {layout.columns}"
    if not good:
        return
    flat = b",".join(good).split(b",")
    columns = [flat[place :: layout.columns] for place in range(layout.columns)]
    ticks, reasons = _ticks(columns, layout)
    if layout.pair_at is not None:
        pairs = columns[layout.pair_at]
        for place in np.flatnonzero(np.array(pairs, dtype="S32") != symbol.encode()).tolist():
            reasons[place] = f"pair {cells.show(pairs[place])}, expected {symbol}"
    is_good = np.ones(len(ticks), dtype=np.bool_)
    is_good[list(reasons)] = False
    found.bad.update({numbers[place]: reason for place, reason in reasons.items()})
    found.pieces.append(ticks[is_good])


def _ticks(columns: list[list[bytes]], layout: Layout) -> tuple[Ticks, dict[int, str]]:
    time_msc, reasons = _times(columns[layout.time_at], layout)
    ticks = np.zeros(len(time_msc), dtype=TICK_DTYPE)
    ticks["time_msc"], ticks["time"] = time_msc, time_msc // 1000
    ticks["bid"] = _values(columns[layout.bid_at], "bid", np.inf, reasons)
    ticks["ask"] = _values(columns[layout.ask_at], "ask", np.inf, reasons)
    ticks["flags"] = _QUOTE
    if layout.volume_at is not None:
        volume = _values(columns[layout.volume_at], "volume", _VOLUME_END, reasons)
        ticks["volume_real"], ticks["volume"] = volume, volume.astype(np.uint64)
        ticks["flags"] |= np.where(volume > 0, _VOLUME, 0).astype(np.uint32)
    return ticks, reasons


def _times(moments: list[bytes], layout: Layout) -> tuple[Int64s, dict[int, str]]:
    """Return milliseconds since 1970 and, by place, why a moment is none."""
    split = [moment.partition(b" ") for moment in moments]
    days = cells.days([date for date, _, _ in split], _DATE)
    in_day = layout.time_of_day([time for _, _, time in split])
    is_bad = (days == cells.NO_DAY) | (in_day < 0)
    reasons = {place: f"time {cells.show(moments[place])} is no time" for place in np.flatnonzero(is_bad).tolist()}
    return days * 86_400_000 + in_day, reasons


def _values(column: list[bytes], name: str, end: float, reasons: dict[int, str]) -> Floats:
    """Return a column of numbers, 0 where one is none; an empty cell is none here."""
    values, is_bad = cells.numbers(column)
    is_empty = np.fromiter(map(len, column), dtype=np.int64, count=len(column)) == 0
    wrong = is_bad | is_empty | ~np.isfinite(values) | (values >= end)
    if name == "volume":
        wrong |= values < 0
    for place in np.flatnonzero(wrong).tolist():
        reasons.setdefault(place, f"{name} {cells.show(column[place])} is no number that it could have")
    values[wrong] = 0.0
    return values
