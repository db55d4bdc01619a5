"""Loads recordings: .npz files in the terminal's own record, and tick exports of the terminal."""

import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ingest import heartbeat
from ingest.sources import archives, export
from ingest.sources.spec import SYMBOL_CHARS_MAX
from tickhub.core import ticks as tick_arrays
from tickhub.core.errors import UsageError
from tickhub.core.ticks import TICK_DTYPE, Ticks

DIGITS_MAX = 8
_SUFFIXES = (".npz", ".csv", ".tsv")
_SYMBOL_TOKEN = re.compile(r"[A-Z0-9.]{3,}")
_NO_SYMBOLS = ("mt5live", "mt5native", "derived")
_SAMPLE_TICKS = 20_000
# Beyond what a price of any size loses in arithmetic, below what one of 8 decimals means.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Recording:
    """One symbol's ticks in order of arrival, read-only. ``bad_examples`` name lines of an export left out."""

    symbol: str
    ticks: Ticks
    path: Path
    bad_lines: int = 0
    bad_examples: list[str] = field(default_factory=list)


def load(path: Path, symbol: str | None = None) -> Recording:
    """Load one recording; without ``symbol`` it is taken from the file's name.

    :raises UsageError: if the file is missing, of another format, truncated, or without one good row
    """
    if not path.exists():
        raise UsageError(f"recording {path}: no such file")
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(f"recording {path}: expected a file named .npz, .csv or .tsv")
    name = symbol or symbol_of(path)
    try:
        heartbeat.beat_before_loading(path.stat().st_size)
        if suffix == ".npz":
            return Recording(name, _load_npz(path), path)
        parsed = export.parse(path.read_bytes())
    except OSError as error:
        raise UsageError(f"recording {path}: cannot be read: {error.strerror or error}") from error
    except export.NotAnExport as error:
        raise UsageError(f"recording {path}: {error}") from error
    return Recording(name, parsed.ticks, path, parsed.bad_lines, parsed.bad_examples)


def _load_npz(path: Path) -> Ticks:
    if not zipfile.is_zipfile(path):
        raise UsageError(f"recording {path}: is no .npz file, or a truncated one")
    try:
        # Pickled arrays could run code; MT5 records never need them.
        with np.load(path, allow_pickle=False) as archive:
            ticks = archive["ticks"]
    except KeyError:
        raise UsageError(f"recording {path}: holds no array named ticks") from None
    except (*archives.DAMAGED, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UsageError(f"recording {path}: array ticks cannot be read: {reason}") from error
    # Without its .npy header an entry of the archive comes as bare bytes.
    if not isinstance(ticks, np.ndarray) or ticks.dtype != TICK_DTYPE or ticks.ndim != 1:
        raise UsageError(f"recording {path}: array ticks is not one row of 60-byte MT5 ticks")
    if len(ticks) == 0:
        raise UsageError(f"recording {path}: holds no ticks")
    return tick_arrays.freeze(ticks)


def load_folder(path: Path) -> tuple[list[Recording], list[str]]:
    """Load every recording of a folder in the order of file names, and say what was skipped and why.

    :raises UsageError: if it holds no recording
    """
    recordings: list[Recording] = []
    skipped: list[str] = []
    for file in sorted(path.iterdir(), key=lambda entry: entry.name):
        if not file.is_file() or file.suffix.lower() not in _SUFFIXES:
            skipped.append(f"{file.name}: is no recording")
            continue
        try:
            taken = {recording.symbol for recording in recordings}
            recordings.append(load(file, numbered(symbol_of(file), taken)))
        except UsageError as error:
            skipped.append(f"{file.name}: {str(error).removeprefix(f'recording {file}: ')}")
    if not recordings:
        raise UsageError(f"folder {path}: holds no recording")
    return recordings, skipped


def numbered(symbol: str, taken: set[str]) -> str:
    """Return a symbol that is not taken yet: ``EURUSD``, else ``EURUSD.2``, ``EURUSD.3``, …

    :raises UsageError: if it has over 30 characters with its number
    """
    name, number = symbol, 1
    while name in taken:
        number += 1
        name = f"{symbol}.{number}"
    if len(name) > SYMBOL_CHARS_MAX:
        raise UsageError(f"symbol {name} has over {SYMBOL_CHARS_MAX} characters")
    return name


def symbol_of(path: Path) -> str:
    """Read the symbol from a file's name.

    :raises UsageError: if the name holds none, or one of over 30 characters
    """
    tokens = [token for token in path.stem.split("_") if token]
    symbol = next(
        (t for t in tokens if _SYMBOL_TOKEN.fullmatch(t) and any(c.isalpha() for c in t)),
        next((t.upper() for t in tokens if t not in _NO_SYMBOLS), None),
    )
    if symbol is None:
        raise UsageError(f"recording {path}: its name holds no symbol, give one with symbol=")
    if len(symbol) > SYMBOL_CHARS_MAX:
        raise UsageError(f"recording {path}: symbol {symbol} has over {SYMBOL_CHARS_MAX} characters")
    return symbol


def digits(ticks: Ticks) -> int:
    """Infer the decimals of the prices, 0 to 8: the fewest that write every price of a sample."""
    step = max(1, len(ticks) // _SAMPLE_TICKS)
    prices = np.concatenate([ticks[side][::step] for side in ("bid", "ask", "last")])
    prices = np.unique(prices[np.isfinite(prices) & (prices != 0)])
    for decimals in range(DIGITS_MAX):
        points = prices * 10**decimals
        if np.all(np.abs(points - np.rint(points)) <= np.maximum(_ROUNDING * np.abs(points), 1e-9)):
            return decimals
    return DIGITS_MAX if len(prices) else 0


def is_quoted(ticks: Ticks) -> bool:
    """Return whether any tick has a bid or an ask: a recording of trades alone has neither."""
    return bool(np.any(ticks["bid"] != 0) or np.any(ticks["ask"] != 0))
