"""Dukascopy's mirror of hour files: ``SYMBOL/YYYY/MM/DD/HHh_ticks.bi5``, UTC, months counted from 00.

That the month counts from zero, and the points of FX, yen and metals, are told alike by many readers of these files
(firebird631/siis, watcher/connector/dukascopy/symbols.py; Steffen-Manzer/btc-fiat-arbitrage, README of its data).
"""

import datetime as dt
import re
from pathlib import Path

from ingest import heartbeat
from ingest.sources.providers import bi5, loaded
from ingest.sources.providers.loaded import Loaded, Piece, Unreadable
from ingest.sources.spec import DukascopySpec
from tickhub.core import clock
from tickhub.core.errors import UsageError

_HOUR_FILE = re.compile(r"(?:^|.*/)([^/]+)/(\d{4})/(\d{2})/(\d{2})/(\d{2})h_ticks\.bi5", re.ASCII)
_MAJORS = "AUD|CAD|CHF|EUR|GBP|NZD|USD"
_SCALES = (
    (re.compile(f"(?:{_MAJORS})(?:{_MAJORS})"), 5),
    (re.compile(f"(?:{_MAJORS})JPY"), 3),
    (re.compile("XA[UG]USD"), 3),
)


def default_digits(symbol: str) -> int | None:
    """Return the decimals of a symbol whose scale is known: 5 among seven majors, 3 in yen and for gold and silver."""
    return next((digits for pattern, digits in _SCALES if pattern.fullmatch(symbol)), None)


def load(spec: DukascopySpec) -> tuple[Loaded, dict[str, int]]:
    """Read the hour files of a file or folder; return them with the decimals of each symbol.

    :raises UsageError: if there is none, or the price scale of a symbol is neither known nor given
    """
    files = _hour_files(spec)
    digits = {symbol: _digits(spec, symbol) for symbol in sorted({symbol for _, symbol, _ in files})}
    if spec.digits is not None and len(digits) > 1:
        raise UsageError(
            f"source {spec.text}: digits= is for one symbol, choose one of {', '.join(digits)} with symbol="
        )
    found = Loaded()
    taken: dict[tuple[str, int], Path] = {}
    for path, symbol, hour_msc in files:
        if hour_msc is None:
            found.left_out.append(f"{path}: its path is no hour of the calendar (months count from 00)")
            continue
        first = taken.setdefault((symbol, hour_msc), path)
        if first != path:
            found.left_out.append(f"{path}: is the same hour as {first}")
            continue
        heartbeat.beat()
        try:
            ticks, bad = bi5.read(path.read_bytes(), hour_msc=hour_msc, digits=digits[symbol])
        except Unreadable as error:
            found.left_out.append(f"{path}: {error}")
        except OSError as error:
            found.left_out.append(f"{path}: cannot be read: {error.strerror or error}")
        else:
            found.pieces.append(Piece(symbol, path, ticks, len(bad), bi5.examples(bad)))
    return found, digits


def _digits(spec: DukascopySpec, symbol: str) -> int:
    digits = default_digits(symbol) if spec.digits is None else spec.digits
    if digits is None:
        raise UsageError(f"source {spec.text}: the price scale of {symbol} is not known, give digits= (and symbol=)")
    return digits


def _hour_files(spec: DukascopySpec) -> list[tuple[Path, str, int | None]]:
    """Return path, symbol and hour of each file that is wanted, in the order of paths."""
    if spec.path.is_dir():
        paths = sorted(spec.path.rglob("*.bi5"))
    elif spec.path.is_file():
        paths = [spec.path]
    else:
        raise UsageError(f"source {spec.text}: {spec.path}: no such file or folder")
    matches = [(path, _HOUR_FILE.fullmatch(path.as_posix())) for path in paths]
    found = [
        (path, match[1], _hour_msc(*map(int, match.groups()[1:])))
        for path, match in matches
        if match and loaded.is_wanted(match[1], spec.symbol)
    ]
    if not found:
        of = f" of {spec.symbol}" if spec.symbol else ""
        raise UsageError(
            f"source {spec.text}: {spec.path}: no hour file{of}, expected …/SYMBOL/YYYY/MM/DD/HHh_ticks.bi5"
        )
    return found


def _hour_msc(year: int, month_from_zero: int, day: int, hour: int) -> int | None:
    try:
        return clock.from_datetime(dt.datetime(year, month_from_zero + 1, day, hour, tzinfo=dt.UTC))
    except ValueError:
        return None
