"""How long between two ticks is normal: each feed's own model by the hour of the week, from its hours before. Pure."""

from collections.abc import Sequence

import numpy as np

from tickhub.core.ticks import Int64s

# Nothing is called too long a silence below this, and it is all there is before anything was learned.
FLOOR_MS = 60_000
# Of an hour's gaps this share is usual; a silence of so many times the longest of these is still normal.
USUAL = 0.99
FACTOR = 5
# How far back hours are looked at: the same hour of the week, or of the day where there are fewer than two of these, or
# any hour where there is none.
LEARNED_HOURS = 28 * 24
LEARNED_HOURS_OF_DAY = 7 * 24
LEARNED_HOURS_OF_ALL = 24
# On so many hours, from its own on, a tick may bear: no hour has gaps longer than itself, and a silence of more than
# FACTOR hours is too long anyway.
REACH_HOURS = FACTOR + 1
_SAME_MIN = 2
_WEEK_HOURS = 168


def usual_gap_ms(times_msc: Int64s, *, explained_msc: Sequence[int] = ()) -> int | None:
    """Return the 0.99 quantile (of the values that occur, rounded up) of the gaps between ascending times, in
    milliseconds; None where there is none.

    Gaps in which one of the instants ``explained_msc`` lies are no habit of the feed, and teach nothing.
    """
    gaps = np.diff(times_msc)
    place = np.searchsorted(times_msc, np.array(explained_msc, dtype=np.int64), side="right") - 1
    gaps = np.delete(gaps, np.unique(place[(place >= 0) & (place < len(gaps))]))
    return int(np.quantile(gaps, USUAL, method="higher")) if len(gaps) else None


def allowed_ms(hour: int, *, hours: Int64s, usual_ms: Int64s) -> int:
    """Return the longest normal silence of a feed in a UTC hour (since 1970), in milliseconds.

    ``hours`` and ``usual_ms``, shape (n,), are earlier hours of the feed with :func:`usual_gap_ms` of each. Five times
    the largest of the same hour of the week in the four weeks before; where there are fewer than two, of the same hour
    of the day in the week before, and without these of all hours in the day before; at least :data:`FLOOR_MS`.
    """
    is_before = (hours < hour) & (hours >= hour - LEARNED_HOURS)
    same = usual_ms[is_before & ((hour - hours) % _WEEK_HOURS == 0)]
    if len(same) < _SAME_MIN:
        same = usual_ms[is_before & (hours >= hour - LEARNED_HOURS_OF_DAY) & ((hour - hours) % 24 == 0)]
    if len(same) == 0:
        same = usual_ms[is_before & (hours >= hour - LEARNED_HOURS_OF_ALL)]
    return max(FLOOR_MS, FACTOR * int(same.max())) if len(same) else FLOOR_MS


def is_live(times_msc: Int64s, *, from_msc: int, to_msc: int, longest_ms: int) -> bool:
    """Return whether ascending times leave no silence longer than ``longest_ms`` within ``[from_msc, to_msc)``."""
    low, high = np.searchsorted(times_msc, (from_msc, to_msc))
    if low == high:
        return False
    edges = np.concatenate(([from_msc], times_msc[low:high], [to_msc]))
    return bool(np.diff(edges).max() <= longest_ms)


def hours_of(times: Sequence[tuple[int, int]]) -> tuple[Int64s, Int64s]:
    """Return ``(hour, usual_gap_ms)`` pairs as the columns of :func:`allowed_ms`."""
    columns = np.array(times, dtype=np.int64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]
