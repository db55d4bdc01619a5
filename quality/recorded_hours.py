"""What is missing of a recording, examined by the hour as a stored feed is, with no other feed to ask. Pure."""

from dataclasses import dataclass

import numpy as np

from quality import arrivals, gaps
from quality.gaps import Kind, Stretch
from tickhub.core.calendars import Calendar
from tickhub.core.clock import DAY_MS, HOUR_MS
from tickhub.core.ticks import Int64s, Mask

# 1970 began on a Thursday.
_FIRST_SATURDAY_MSC = 2 * DAY_MS
_WEEK_MS = 7 * DAY_MS
_WEEKEND_MOST_MS = 3 * DAY_MS


@dataclass(frozen=True, slots=True)
class Silences:
    """Silences of over :data:`arrivals.FLOOR_MS` between a recording's ticks, however it was scheduled.

    ``weekends`` are those that hold a whole Saturday (UTC) and are shorter than three days; ``count`` and
    ``longest_ms`` are of the others.
    """

    count: int
    longest_ms: int
    weekends: int


@dataclass(frozen=True, slots=True)
class Examined:
    """What of a recording's time was in session, and what of that is missing: stretches by the hour, ascending."""

    session_ms: int
    stretches: list[Stretch]

    @property
    def missing_ms(self) -> int:
        """Return how much of the session's time is missing, in milliseconds."""
        return gaps.missing_ms(self.stretches)


def silences(times_msc: Int64s) -> Silences:
    """Return the silences between ascending times, UTC milliseconds, shape (n,)."""
    found = gaps.longer_than(times_msc, arrivals.FLOOR_MS)
    is_weekend = _is_weekend(found[:, 0], found[:, 1])
    lengths = (found[:, 1] - found[:, 0])[~is_weekend]
    return Silences(len(lengths), int(lengths.max(initial=0)), int(np.count_nonzero(is_weekend)))


def examine(times_msc: Int64s, calendar: Calendar | None) -> Examined:
    """Examine a recording from its first tick to its last; ascending times, UTC milliseconds, shape (n,).

    What is normal is learned from the hours before, by :mod:`quality.arrivals`; of an unknown session (None) all time
    counts.
    """
    if len(times_msc) == 0:
        return Examined(0, [])
    first_msc, last_msc = int(times_msc[0]), int(times_msc[-1])
    hours = range(first_msc // HOUR_MS, last_msc // HOUR_MS + 1)
    bounds = np.searchsorted(times_msc, np.array([*hours, hours.stop], dtype=np.int64) * HOUR_MS)
    learned: list[tuple[int, int]] = []
    found = Examined(gaps.in_session_ms(first_msc, last_msc, calendar), [])
    for place, hour in enumerate(hours):
        own = times_msc[bounds[place] : bounds[place + 1]]
        learned = [pair for pair in learned if pair[0] >= hour - arrivals.LEARNED_HOURS]
        at, usual = arrivals.hours_of(learned)
        begin_msc = max(hour * HOUR_MS, first_msc)
        stretches = gaps.find(
            own,
            since_msc=int(times_msc[max(bounds[place] - 1, 0)]),
            from_msc=begin_msc,
            to_msc=min((hour + 1) * HOUR_MS, last_msc),
            allowed_ms=arrivals.allowed_ms(hour, hours=at, usual_ms=usual),
            calendar=calendar,
            lost=[],
            others=[],
        )
        found.stretches.extend(stretches)
        explained = [gap.from_msc for gap in stretches if gap.kind is Kind.CLOSED]
        usual_ms = arrivals.usual_gap_ms(own, explained_msc=explained)
        if usual_ms is not None:
            learned.append((hour, usual_ms))
    return found


def _is_weekend(begins_msc: Int64s, ends_msc: Int64s) -> Mask:
    """Mark the periods that hold a whole Saturday (UTC) and are shorter than three days."""
    # The first Saturday that begins within each period.
    saturdays = begins_msc + (_FIRST_SATURDAY_MSC - begins_msc) % _WEEK_MS
    marks: Mask = (saturdays + DAY_MS <= ends_msc) & (ends_msc - begins_msc < _WEEKEND_MOST_MS)
    return marks
