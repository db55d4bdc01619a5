"""Plants faults of each kind at known places of a clean series of quotes, to see which of them the checks find."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quality.checks.neighbours import WINDOW
from tickhub.core.clock import DAY_MS
from tickhub.core.flags import Flag
from tickhub.core.ticks import Int64s, Ticks

# Faults stand so far apart that none is among the predecessors of another.
_APART = 4 * WINDOW
# A jump far above any bound of a quiet market, in points.
_JUMP_POINTS = 5_000
_STUCK_TICKS = WINDOW + 8


@dataclass(frozen=True, slots=True)
class Planted:
    """Ticks with faults, and the places that ``flag`` has to mark because of them."""

    flag: Flag
    ticks: Ticks
    expected: Int64s


# Changes ticks in place at some places, given the size of a point, and returns the places that are to be marked.
_Plant = Callable[[Ticks, Int64s, float], Int64s]


def plant(ticks: Ticks, *, digits: int, count: int, seed: int) -> list[Planted]:
    """Plant up to ``count`` faults of each kind, each kind into a copy of its own."""
    rng = np.random.default_rng(seed)
    slots = np.arange(_APART, len(ticks) - _APART, _APART, dtype=np.int64)
    planted = []
    for flag, change in _KINDS.items():
        faulty = ticks.copy()
        places = np.sort(rng.choice(slots, min(count, len(slots)), replace=False))
        planted.append(Planted(flag, faulty, change(faulty, places, 10.0**-digits)))
    return planted


def _set(**values: float) -> _Plant:
    """Return a plant that sets fields to values."""

    def change(ticks: Ticks, places: Int64s, point: float) -> Int64s:
        for name, value in values.items():
            ticks[name][places] = value
        return places

    return change


def _move(ticks: Ticks, places: npt.NDArray[np.int64] | slice, points: float, point: float) -> None:
    """Move both sides by whole points, written as the terminal writes prices."""
    for side in ("bid", "ask"):
        whole = np.rint(ticks[side][places] / point) + points
        ticks[side][places] = whole / round(1 / point)


def _crossed(ticks: Ticks, places: Int64s, point: float) -> Int64s:
    ticks["bid"][places], ticks["ask"][places] = ticks["ask"][places] + 10 * point, ticks["bid"][places]
    return places


def _locked(ticks: Ticks, places: Int64s, point: float) -> Int64s:
    ticks["ask"][places] = ticks["bid"][places]
    return places


def _repeat(ticks: Ticks, places: Int64s, point: float) -> Int64s:
    ticks[places] = ticks[places - 1]
    return places


def _jump(ticks: Ticks, places: Int64s, point: float) -> Int64s:
    for number, place in enumerate(places.tolist()):
        # Up and down in turn, and for good: one jump each.
        _move(ticks, slice(place, None), _JUMP_POINTS if number % 2 == 0 else -_JUMP_POINTS, point)
    return places


def _spike(ticks: Ticks, places: Int64s, point: float) -> Int64s:
    level = ticks[places - 1]
    ticks["bid"][places], ticks["ask"][places] = level["bid"], level["ask"]
    _move(ticks, places, _JUMP_POINTS, point)
    ticks["bid"][places + 1], ticks["ask"][places + 1] = level["bid"], level["ask"]
    return places + 1


def _spread(ticks: Ticks, places: Int64s, point: float) -> Int64s:
    ticks["ask"][places] = np.rint(ticks["ask"][places] / point + _JUMP_POINTS) / round(1 / point)
    return places


def _stuck(ticks: Ticks, places: Int64s, point: float) -> Int64s:
    marked: list[int] = []
    for place in places.tolist():
        end = place + _STUCK_TICKS
        stretch = slice(place, end)
        # Neither the tick before the stretch nor the one behind it is like those in it.
        for at in (place, end):
            ticks["bid"][at], ticks["ask"][at] = ticks["bid"][place - 1], ticks["ask"][place - 1]
        _move(ticks, slice(place, place + 1), 2, point)
        ticks[stretch] = ticks[place]
        # Two seconds apart, and what follows moves along, so that time goes forwards.
        ticks["time_msc"][stretch] += np.arange(_STUCK_TICKS) * 2_000
        behind = slice(place + _STUCK_TICKS, None)
        ticks["time_msc"][behind] += 2_000 * _STUCK_TICKS
        marked += range(place + WINDOW, place + _STUCK_TICKS)
    ticks["time"] = ticks["time_msc"] // 1000
    return np.array(marked, dtype=np.int64)


def _off_grid(ticks: Ticks, places: Int64s, point: float) -> Int64s:
    ticks["ask"][places] += 0.4 * point
    return places


def _bad_volume(ticks: Ticks, places: Int64s, point: float) -> Int64s:
    ticks["volume"][places], ticks["volume_real"][places] = 5, 3.0
    return places


def _no_flags(ticks: Ticks, places: Int64s, point: float) -> Int64s:
    before = ticks[places - 1]
    ticks["bid"][places], ticks["ask"][places] = before["bid"], before["ask"]
    _move(ticks, places, 2, point)
    ticks["flags"][places] = 0
    return places


def _unstorable(ticks: Ticks, places: Int64s, point: float) -> Int64s:
    ticks["time"][places] += 1
    return places


def _implausible(ticks: Ticks, places: Int64s, point: float) -> Int64s:
    ticks["time_msc"][places] += 40_000 * DAY_MS
    ticks["time"][places] = ticks["time_msc"][places] // 1000
    return places


_KINDS: dict[Flag, _Plant] = {
    Flag.NOT_FINITE: _set(ask=np.nan),
    Flag.NEGATIVE: _set(bid=-1.0),
    Flag.IMPLAUSIBLE_DAY: _implausible,
    Flag.UNSTORABLE: _unstorable,
    Flag.NO_BID: _set(bid=0.0),
    Flag.NO_ASK: _set(ask=0.0),
    Flag.CROSSED: _crossed,
    Flag.REPEAT: _repeat,
    Flag.SPREAD_OUTLIER: _spread,
    Flag.JUMP_OUTLIER: _jump,
    Flag.LOCKED: _locked,
    Flag.REVERT: _spike,
    Flag.STUCK: _stuck,
    Flag.OFF_GRID: _off_grid,
    Flag.BAD_VOLUME: _bad_volume,
    Flag.FLAG_MISMATCH: _no_flags,
    Flag.OUTSIDE_BAND: _set(bid=1e-3),
}
