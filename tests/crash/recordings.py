"""Makes recordings in which everything occurs that a terminal is known to do to a capture."""

from pathlib import Path

import numpy as np

from tickhub.core.ticks import TICK_DTYPE, Ticks

# 2026-03-02 12:00:00 UTC, a Monday.
_START_MSC = 1_772_452_800_000


def make(count: int, *, seconds: int, seed: int) -> Ticks:
    """Ticks in order of arrival over so many seconds.

    A third share their millisecond with the tick before, a twentieth equal it in every byte, one in two hundred
    arrives up to four minutes late, and prices, volumes and undocumented flag bits are what they are.
    """
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, seconds * 1000, count))
    shares = np.flatnonzero(rng.random(count) < 0.3)
    times[shares[1:]] = times[shares[1:] - 1]
    times = np.maximum.accumulate(times) + _START_MSC
    ticks = np.zeros(count, dtype=TICK_DTYPE)
    points = 110_000 + np.cumsum(rng.integers(-3, 4, count))
    ticks["bid"] = points / 100_000
    ticks["ask"] = (points + rng.integers(0, 20, count)) / 100_000
    ticks["flags"] = rng.choice([2, 4, 6, 134, 1030], count)
    traded = rng.random(count) < 0.1
    ticks["last"][traded] = ticks["bid"][traded]
    ticks["volume"][traded] = ticks["volume_real"][traded] = rng.integers(1, 100, int(traded.sum()))
    late = np.flatnonzero(rng.random(count) < 0.005)
    times[late] = np.maximum(times[late] - rng.integers(1, 240_000, len(late)), _START_MSC)
    ticks["time_msc"], ticks["time"] = times, times // 1000
    repeats = np.flatnonzero(rng.random(count) < 0.05)[1:]
    ticks[repeats] = ticks[repeats - 1]
    # A symbol's first row says where it begins.
    ticks[0]["time_msc"], ticks[0]["time"] = _START_MSC, _START_MSC // 1000
    return ticks


def write(path: Path, ticks: Ticks) -> Path:
    """Write ticks as a recording."""
    np.savez(path, ticks=ticks)
    return path
