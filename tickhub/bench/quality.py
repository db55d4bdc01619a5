"""What judging costs per tick and per small batch, and how many planted faults the checks find. Needs no server."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ingest.sources import recording
from ingest.sources.market import Market
from quality import inspection, recordings
from quality.checks.neighbours import WINDOW
from quality.inspection import Limits
from quality.rules import Thresholds
from tickhub.bench import planting
from tickhub.bench.backlog import RECORDINGS
from tickhub.core import ticks as tick_arrays
from tickhub.core.batch import Batch, Part
from tickhub.core.clock import DAY_MS
from tickhub.core.flags import FlagArray
from tickhub.core.ticks import Ticks
from tickhub.reference.queries import FeedFacts

_LARGE, _SMALL = 10_000, 100
_BUDGET_US_PER_TICK, _BUDGET_MS_SMALL = 0.15, 0.5
# Of liquid quotes, busy gold, trades, quotes with trades and crypto.
_FILES = (
    "eurusd_fxcm_201405.npz",
    "eurusd_oanda_201405.npz",
    "xauusd_oanda_20140502_05.npz",
    "spy_lean_trades_201310.npz",
    "aig_nyse_quotes_trades_20131009.npz",
    "btcusdt_binance_usdm_live_20240808.npz",
)
_CLEAN = "eurusd_oanda_201405.npz"
_PLANTED_OF, _PLANTED = 60_000, 100
_LONG_MS = 365 * DAY_MS
_START_MSC = 1_772_452_800_000
_LIMITS = Limits(earliest_msc=631_152_000_000, future_tolerance_ms=1_000)
# Prices below half a unit are outside: the planted ones, and no price of the clean series.
_BAND = Thresholds(band_low_points=50_000)


@dataclass(frozen=True, slots=True)
class _Series:
    name: str
    ticks: Ticks
    facts: FeedFacts


def run(*, rounds: int, seed: int, tell: Callable[[str], object]) -> dict[str, Any]:  # Any: JSON
    """Measure and plant; times are CPU of this process, so that others on the machine count less."""
    cost = {}
    for series in _all_series():
        tell(f"judging {series.name}")
        large = _times_s(series, size=_LARGE, batches=8, rounds=rounds)
        small = _times_s(series, size=_SMALL, batches=100, rounds=rounds)
        cost[series.name] = {
            "us_per_tick": round(float(np.median(large)) * 1e6 / _LARGE, 4),
            "us_per_tick_best": round(float(large.min()) * 1e6 / _LARGE, 4),
            "ms_per_100": round(float(np.median(small)) * 1e3, 4),
            "ms_per_100_best": round(float(small.min()) * 1e3, 4),
        }
    tell("planting faults")
    clean = next(series for series in _all_series(only=_CLEAN))
    found = found_of(clean.ticks[:_PLANTED_OF], clean.facts, seed=seed)
    return {
        "of": "recordings" if RECORDINGS.is_dir() else "generated",
        "batch_ticks": [_LARGE, _SMALL],
        "rounds": rounds,
        "cost": cost,
        "budget": {"us_per_tick": _BUDGET_US_PER_TICK, "ms_per_100": _BUDGET_MS_SMALL},
        "within_budget": all(
            one["us_per_tick"] <= _BUDGET_US_PER_TICK and one["ms_per_100"] <= _BUDGET_MS_SMALL for one in cost.values()
        ),
        "seed": seed,
        "planted_in": clean.name,
        "planted": found,
    }


def _all_series(only: str | None = None) -> Iterator[_Series]:
    if not RECORDINGS.is_dir():
        market = Market(symbol="EURUSD", symbols=("EURUSD",), rate=1_000, seed=1)
        ticks = market.ticks_between(_START_MSC, _START_MSC + 90_000)
        yield _Series("generated", ticks, FeedFacts(1, 5, is_quoted=True, negative_prices=False))
        return
    for name in _FILES if only is None else (only,):
        ticks = recording.load(RECORDINGS / name).ticks
        is_quoted = recording.is_quoted(ticks)
        yield _Series(name, ticks, FeedFacts(1, recording.digits(ticks), is_quoted=is_quoted, negative_prices=False))


def _times_s(series: _Series, *, size: int, batches: int, rounds: int) -> np.typing.NDArray[np.float64]:
    """Return the CPU seconds of each judgement, shape (rounds * batches,)."""
    starts = [WINDOW + size * number for number in range(batches)]
    times = []
    for _ in range(rounds):
        for start in starts:
            batch = _batch(series.ticks, start, size)
            before_ns = time.process_time_ns()
            inspection.inspect(batch, facts={1: series.facts}, limits=_LIMITS)
            times.append(time.process_time_ns() - before_ns)
    return np.array(times) / 1e9


def _batch(ticks: Ticks, start: int, size: int) -> Batch:
    """Build a batch over bytes of its own, as a worker reads it: that decides what the allocator keeps."""
    own = tick_arrays.from_bytes(ticks[start : start + size].tobytes())
    context = tick_arrays.from_bytes(ticks[start - WINDOW : start].tobytes())
    seq = np.minimum(tick_arrays.position_in_group(own["time_msc"]), 0x7FFF).astype(np.int16)
    part = Part(1, 0, 0, len(own), len(context), None, None)
    newest_msc = int(own["time_msc"].max())
    return Batch(1, 1, newest_msc, newest_msc, (part,), own, seq, np.zeros(len(own), dtype=bool), context)


def found_of(ticks: Ticks, facts: FeedFacts, *, seed: int) -> dict[str, dict[str, float]]:
    """Plant faults in a clean series; return for each kind how many were planted, found and marked elsewhere.

    With precision and recall of its check.
    """
    limits = Limits(_LIMITS.earliest_msc, _LIMITS.future_tolerance_ms, {facts.feed_id: _BAND})
    before = _flags(ticks, facts, limits)
    found = {}
    for planted in planting.plant(ticks, digits=facts.digits, count=_PLANTED, seed=seed):
        bit = int(planted.flag)
        is_expected = np.zeros(len(ticks), dtype=bool)
        is_expected[planted.expected] = True
        marked = (_flags(planted.ticks, facts, limits) & bit) != 0
        # What is marked in the clean series already is no matter of the planted ones.
        others = marked & ~is_expected & ((before & bit) == 0)
        hits = int((marked & is_expected).sum())
        found[str(planted.flag.name)] = {
            "planted": int(is_expected.sum()),
            "found": hits,
            "elsewhere": int(others.sum()),
            "precision": round(hits / max(hits + int(others.sum()), 1), 4),
            "recall": round(hits / int(is_expected.sum()), 4),
        }
    return found


def _flags(ticks: Ticks, facts: FeedFacts, limits: Limits) -> FlagArray:
    # A poll behind all times but the planted ones, which lie a century ahead.
    poll_msc = int(ticks["time_msc"][0]) + _LONG_MS
    return np.concatenate(list(recordings.flags_of(ticks, facts=facts, limits=limits, poll_msc=poll_msc)))
