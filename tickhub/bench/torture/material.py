"""What a run plays: a slice of real recordings, rows in order of arrival; generated ones where the folder is absent."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingest.sources import recording
from ingest.sources.market import Market
from tickhub.core.ticks import Int64s, Ticks

_RECORDINGS = Path(__file__).resolve().parents[4] / "shared" / "data"
# Played together, as one terminal: the live captures with their late rows, trades, and what MT5 itself has written.
_GROUPS = {
    "btcusdt": "btcusdt_binance_usdm_live_*.npz",
    "btcusd_perp": "btcusd_perp_binance_cm_live_*.npz",
    "eurusd": "eurusd_*.npz",
    "xauusd": "xauusd_*.npz",
    "spy": "spy_*.npz",
    "aig": "aig_*.npz",
    "mt5": "mt5native_MetaQuotes-Demo_*_20230622.npz",
    "week-end": "mt5native_Pepperstone-Demo_*.npz",
    "vantage": "mt5live_*.npz",
}
# Where rows come late, chosen more often than the others.
_LATE = ("btcusdt", "btcusd_perp")
_GENERATED = ("generated",)
_SYMBOLS = ("EURUSD", "GBPUSD", "XAUUSD")
_NOON_MSC = 1_772_452_800_000
_LATE_SHARE, _LATE_PLACES_MOST = 0.01, 400


@dataclass(frozen=True, slots=True)
class Slice:
    """Ticks by symbol, and the time that they span."""

    ticks: dict[str, Ticks]
    span_ms: int

    def write(self, folder: Path) -> None:
        """Write one recording for each symbol."""
        for symbol, ticks in self.ticks.items():
            np.savez(folder / f"{symbol}.npz", ticks=ticks)

    @property
    def count(self) -> int:
        """Return how many ticks there are."""
        return sum(len(ticks) for ticks in self.ticks.values())


def is_real() -> bool:
    """Return whether the real recordings are there."""
    return _RECORDINGS.is_dir()


def groups() -> tuple[str, ...]:
    """Return the names that can be cut from, as often as they are to be chosen."""
    return (*_GROUPS, *_LATE, *_LATE) if is_real() else _GENERATED


def cut(group: str, *, place: float, rows: int) -> Slice:
    """Cut from a group: ``rows`` of its longest recording from ``place`` (0 to 1) on, and what the others have then."""
    whole = _generated(rows) if group in _GENERATED else _recorded(group)
    anchor = max(whole, key=lambda symbol: len(whole[symbol]))
    first = int(place * max(len(whole[anchor]) - rows, 0))
    reached = _reached(whole[anchor])
    begin_msc, end_msc = int(reached[first]), int(reached[min(first + rows, len(reached)) - 1])
    found = {
        symbol: ticks[first : first + rows] if symbol == anchor else _during(ticks, begin_msc, end_msc, most=rows)
        for symbol, ticks in whole.items()
    }
    return Slice({symbol: ticks for symbol, ticks in found.items() if len(ticks)}, max(end_msc - begin_msc, 1))


def _reached(ticks: Ticks) -> Int64s:
    """Return the latest time among the rows up to each."""
    return np.maximum.accumulate(np.ascontiguousarray(ticks["time_msc"]))


def _during(ticks: Ticks, begin_msc: int, end_msc: int, *, most: int) -> Ticks:
    low, high = _reached(ticks).searchsorted([begin_msc, end_msc + 1]).tolist()
    return ticks[low : min(high, low + most)]


@functools.lru_cache
def _recorded(group: str) -> dict[str, Ticks]:
    found: dict[str, Ticks] = {}
    for path in sorted(_RECORDINGS.glob(_GROUPS[group])):
        symbol = recording.symbol_of(path)
        # Two sources of one instrument are two symbols of the terminal that plays both.
        found[symbol if symbol not in found else f"{symbol}{len(found) + 1}"] = recording.load(path).ticks
    return found


@functools.lru_cache
def _generated(rows: int) -> dict[str, Ticks]:
    """Make a market in which one row in a hundred comes late."""
    rng = np.random.default_rng(rows)
    end_msc = _NOON_MSC + rows * 20
    found = {}
    for symbol in _SYMBOLS:
        market = Market(symbol=symbol, symbols=_SYMBOLS, rate=300, seed=1)
        ticks = market.ticks_between(_NOON_MSC, end_msc)
        places = np.arange(len(ticks), dtype=np.float64)
        late = np.flatnonzero(rng.random(len(ticks)) < _LATE_SHARE)
        places[late] += rng.integers(1, _LATE_PLACES_MOST, len(late)) + 0.5
        found[symbol] = ticks[np.argsort(places, kind="stable")]
    return found
