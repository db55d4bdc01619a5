"""Gives rows of a terminal's wall clock their UTC time under other epochs than those they were captured under. Pure.

Where the new epochs show an hour twice, the poll that brought a row tells its pass; where it cannot, the row is unsure.
"""

from dataclasses import dataclass

import numpy as np

from tickhub.core.ticks import Int64s, Mask
from tickhub.core.zones import Epochs

# A row polled this shortly after its time in the second pass is of the second pass.
_SOON_MS = 60_000


@dataclass(frozen=True, slots=True)
class Placed:
    """Where rows stand: UTC time and epoch (by place).

    ``is_unsure`` marks rows of an hour shown twice whose pass cannot be told: they stand in the later one;
    ``is_nowhere`` rows of an hour left out: they stand under the offset from before it.
    """

    time_msc: Int64s
    place: Int64s
    is_unsure: Mask
    is_nowhere: Mask


def offsets_at(utc_msc: Int64s, epochs: Epochs) -> Int64s:
    """Return terminal clock minus UTC at UTC instants, shape (n,)."""
    starts = np.array([row.starts_msc for row in epochs.rows], dtype=np.int64)
    offsets = np.array([row.offset_ms for row in epochs.rows], dtype=np.int64)
    return offsets[np.maximum(starts.searchsorted(utc_msc, side="right") - 1, 0)]


def place(wall_msc: Int64s, epochs: Epochs, *, polled_msc: Int64s, is_playback: bool) -> Placed:
    """Place rows by their wall clock.

    ``polled_msc`` is the UTC time of each row's poll. Of a playback, which shows its rows in the order of the wall
    clock, it is the poll's wall clock: nothing of a second pass is seen before the end of the first.
    """
    starts = np.array([row.starts_msc for row in epochs.rows], dtype=np.int64)
    offsets = np.array([row.offset_ms for row in epochs.rows], dtype=np.int64)
    earliest, latest = _candidates(wall_msc, epochs)
    is_nowhere = earliest < 0
    before = np.maximum((starts + offsets).searchsorted(wall_msc, side="right") - 1, 0)
    earliest, latest = np.where(is_nowhere, before, earliest), np.where(is_nowhere, before, latest)
    is_twice = earliest != latest
    if is_playback:
        is_first = is_twice & (polled_msc < _ends_of_first_pass(wall_msc, latest, is_twice))
        is_second = np.zeros_like(is_first)
    else:
        is_first = polled_msc < starts[latest]
        is_second = polled_msc - (wall_msc - offsets[latest]) <= _SOON_MS
    chosen = np.where(is_twice & is_first, earliest, latest)
    return Placed(wall_msc - offsets[chosen], chosen, is_twice & ~is_first & ~is_second, is_nowhere)


def _ends_of_first_pass(wall_msc: Int64s, latest: Int64s, is_twice: Mask) -> Int64s:
    """Return for each row of an hour shown twice the latest wall clock seen in that hour, else 0."""
    ends = np.zeros(len(wall_msc), dtype=np.int64)
    for number in np.unique(latest[is_twice]).tolist():
        own = is_twice & (latest == number)
        ends[own] = wall_msc[own].max()
    return ends


def passes(wall_msc: int, epochs: Epochs) -> tuple[int, int]:
    """Return the places of the first and the last epoch that show a time; of an hour left out, the one before it."""
    walls = np.array([wall_msc], dtype=np.int64)
    first, last = _candidates(walls, epochs)
    if first[0] >= 0:
        return int(first[0]), int(last[0])
    starts = np.array([row.starts_msc + row.offset_ms for row in epochs.rows], dtype=np.int64)
    before = max(int(starts.searchsorted(wall_msc, side="right")) - 1, 0)
    return before, before


def earliest(wall_msc: Int64s, epochs: Epochs) -> Int64s:
    """Return the earliest UTC time at which a clock showed each time, shape (n,); of an hour left out, as above."""
    starts = np.array([row.starts_msc + row.offset_ms for row in epochs.rows], dtype=np.int64)
    offsets = np.array([row.offset_ms for row in epochs.rows], dtype=np.int64)
    first, _ = _candidates(wall_msc, epochs)
    before = np.maximum(starts.searchsorted(wall_msc, side="right") - 1, 0)
    return wall_msc - offsets[np.where(first < 0, before, first)]


def _candidates(wall_msc: Int64s, epochs: Epochs) -> tuple[Int64s, Int64s]:
    """Return the first and the last epoch whose wall clock shows each time; -1 where none does."""
    first: Int64s = np.full(len(wall_msc), -1, dtype=np.int64)
    last = first.copy()
    if len(wall_msc) == 0:
        return first, last
    low, high = int(wall_msc.min()), int(wall_msc.max())
    for number, row in enumerate(epochs.rows):
        begin, end = row.starts_msc + row.offset_ms, row.ends_msc + row.offset_ms
        if end <= low or begin > high:
            continue
        inside = (wall_msc >= begin) & (wall_msc < end)
        last[inside] = number
        first[inside & (first < 0)] = number
    return first, last
