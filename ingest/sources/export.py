"""Reads tick exports of the MT5 terminal: tab-separated text, an empty field is that of the row before."""

import codecs
import re
from dataclasses import dataclass

import numpy as np

from ingest.sources import cells
from ingest.sources.cells import Floats
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import TICK_DTYPE, Int64s, Mask, Ticks

EXAMPLES_MAX = 5
_DATE = re.compile(rb"(\d{4})[.\-/](\d{2})[.\-/](\d{2})")
# The flag bits that a field which is given stands for, where the export has no flags of its own.
_BITS = {"BID": 2, "ASK": 4, "LAST": 8, "VOLUME": 16}
_MEANING = {"FLAGS": "flags", "VOLUME": "volume"}
_BLOCK_LINES = 65_536
_FLAGS_END, _VOLUME_END = 2.0**32, 2.0**63


class NotAnExport(ValueError):
    """The text is no tick export, or holds no good line."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """The good lines as ticks in the order of the file, and the bad ones counted, the first few with reasons."""

    ticks: Ticks
    bad_lines: int
    bad_examples: list[str]


@dataclass(frozen=True, slots=True)
class _Block:
    """The good rows of some lines, the bad ones by line number. Arrays of shape (rows,), by column name."""

    time_msc: Int64s
    values: dict[str, Floats]
    is_empty: dict[str, Mask]
    bad: dict[int, str]


def parse(raw: bytes) -> Parsed:
    """Read an export.

    :raises NotAnExport: if its header is not that of a tick export, or no line is good
    """
    lines = _decode(raw).replace(b"\r\n", b"\n").split(b"\n")
    header = _header(lines[0])
    # Blocks, so that the fields of a long file are not all in memory as objects of their own.
    starts = range(1, len(lines), _BLOCK_LINES)
    blocks = [_read_block(lines[start : start + _BLOCK_LINES], start + 1, header) for start in starts]
    bad: dict[int, str] = {}
    for block in blocks:
        bad.update(block.bad)
    if not any(len(block.time_msc) for block in blocks):
        raise NotAnExport("holds no good line" + (f", line {min(bad)}: {bad[min(bad)]}" if bad else ""))
    examples = [f"line {number}: {bad[number]}" for number in sorted(bad)[:EXAMPLES_MAX]]
    return Parsed(_build(blocks), len(bad), examples)


def _read_block(lines: list[bytes], first_number: int, header: list[str]) -> _Block:
    tabs = len(header) - 1
    bad: dict[int, str] = {}
    numbers: list[int] = []
    good: list[bytes] = []
    for number, line in enumerate(lines, first_number):
        found = line.count(b"\t")
        if found == tabs:
            numbers.append(number)
            good.append(line)
        elif line.strip():
            bad[number] = f"{found + 1} fields, expected {len(header)}"
    # One split for all: a list for each row would cost more than everything else.
    flat = b"\t".join(good).split(b"\t") if good else []
    cells_of = {name: flat[place :: len(header)] for place, name in enumerate(header)}
    time_msc, reasons = _times(cells_of["DATE"], cells_of["TIME"])
    values: dict[str, Floats] = {}
    is_empty: dict[str, Mask] = {}
    for name in (name for name in (*_BITS, "FLAGS") if name in cells_of):
        is_empty[name] = np.fromiter(map(len, cells_of[name]), dtype=np.int64, count=len(good)) == 0
        values[name], is_bad = cells.numbers(cells_of[name])
        for place in np.flatnonzero(is_bad | _is_out_of_range(name, values[name])).tolist():
            reasons.setdefault(place, f"{name} {cells.show(cells_of[name][place])} is no {_MEANING.get(name, 'price')}")
    bad.update({numbers[place]: reason for place, reason in reasons.items()})
    is_good = np.ones(len(good), dtype=np.bool_)
    is_good[list(reasons)] = False
    return _Block(
        time_msc[is_good],
        {name: column[is_good] for name, column in values.items()},
        {name: column[is_good] for name, column in is_empty.items()},
        bad,
    )


def _decode(raw: bytes) -> bytes:
    """Return the text as ASCII bytes; what is not ASCII becomes a question mark, which no field may hold."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = raw.decode("utf-16", errors="replace")
    elif raw[1:2] == b"\0":
        text = raw.decode("utf-16-le", errors="replace")
    else:
        return raw.removeprefix(codecs.BOM_UTF8)
    return text.encode("ascii", errors="replace")


def _header(line: bytes) -> list[str]:
    names = [cell.strip().strip(b"<>").upper().decode("ascii", "replace") for cell in line.split(b"\t")]
    if "DATE" not in names or "TIME" not in names or not {"BID", "ASK", "LAST"} & set(names):
        raise NotAnExport("is no tick export: expected a tab-separated header <DATE> <TIME> <BID> <ASK> …")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise NotAnExport(f"is no tick export: column {twice[0]!r} occurs twice")
    return names


def _times(dates: list[bytes], times: list[bytes]) -> tuple[Int64s, dict[int, str]]:
    """Return milliseconds since 1970 and, by place, why a date or time is none."""
    days = cells.days(dates, _DATE)
    in_day = cells.in_day(times)
    reasons = {place: f"TIME {cells.show(times[place])} is no time" for place in np.flatnonzero(in_day < 0).tolist()}
    for place in np.flatnonzero(days == cells.NO_DAY).tolist():
        reasons[place] = f"DATE {cells.show(dates[place])} is no date"
    return days * 86_400_000 + in_day, reasons


def _is_out_of_range(name: str, values: Floats) -> Mask:
    """Mark what the record cannot hold: a flag that is no 32-bit integer, a negative volume, an endless price."""
    wrong: Mask = ~np.isfinite(values)
    if name == "FLAGS":
        wrong |= (values < 0) | (values >= _FLAGS_END) | (values != np.floor(values))
    elif name == "VOLUME":
        wrong |= (values < 0) | (values >= _VOLUME_END)
    return wrong


def _build(blocks: list[_Block]) -> Ticks:
    time_msc = np.concatenate([block.time_msc for block in blocks])
    ticks = np.zeros(len(time_msc), dtype=TICK_DTYPE)
    ticks["time_msc"] = time_msc
    ticks["time"] = time_msc // 1000
    derived = np.zeros(len(time_msc), dtype=np.uint32)
    for name in blocks[0].values:
        values = np.concatenate([block.values[name] for block in blocks])
        is_empty = np.concatenate([block.is_empty[name] for block in blocks])
        if name == "FLAGS":
            ticks["flags"] = np.where(is_empty, derived, values.astype(np.uint32))
            continue
        ticks["volume_real" if name == "VOLUME" else name.lower()] = _fill(values, is_empty)
        derived |= np.where(is_empty, 0, _BITS[name]).astype(np.uint32)
    if "FLAGS" not in blocks[0].values:
        ticks["flags"] = derived
    ticks["volume"] = ticks["volume_real"].astype(np.uint64)
    return tick_arrays.freeze(ticks)


def _fill(values: Floats, is_empty: Mask) -> Floats:
    """Give an empty field the value of the row before it, zero where there is none."""
    newest = np.maximum.accumulate(np.where(is_empty, -1, np.arange(len(values))))
    filled: Floats = np.where(newest >= 0, values[newest], 0.0)
    return filled
