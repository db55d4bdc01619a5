"""What is missing of a feed, and why: stretches without a tick, each with its class and cause. Pure."""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from quality import arrivals, sessions, silence
from tickhub.core.calendars import Calendar
from tickhub.core.ticks import Int64s


class Kind(enum.StrEnum):
    """The class of a stretch without ticks; stored codes."""

    CLOSED = "CLOSED"
    QUIET = "QUIET"
    STALLED = "STALLED"
    DISCONNECTED = "DISCONNECTED"
    UNKNOWN = "UNKNOWN"


# In these something is missing; in the others there was nothing to capture.
MISSING = frozenset({Kind.STALLED, Kind.DISCONNECTED, Kind.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch without ticks, UTC milliseconds ``[from_msc, to_msc)``."""

    from_msc: int
    to_msc: int
    kind: Kind
    cause: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A time in which a source was not connected, UTC milliseconds ``[from_msc, to_msc)``, and how."""

    from_msc: int
    to_msc: int
    cause: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another feed of the source: its ascending tick times, its longest normal silence, its calendar."""

    times_msc: Int64s
    allowed_ms: int
    calendar: Calendar | None


def still_lost(lost: Sequence[Lost], reread: Sequence[tuple[int, int]]) -> list[Lost]:
    """Return what is left of lost times without the periods ``[from, to)`` whose history was read again since: of
    these all is known that the source has."""
    found = list(lost)
    for low, high in reread:
        found = [
            replace(piece, from_msc=begin, to_msc=end)
            for piece in found
            for begin, end in (
                (piece.from_msc, min(piece.to_msc, low)),
                (max(piece.from_msc, high), piece.to_msc),
            )
            if begin < end
        ]
    return found


def longer_than(times_msc: Int64s, threshold_ms: int, calendar: Calendar | None = None) -> Int64s:
    """Return the stretches between neighbours of ascending times that are longer than a threshold, shape (n, 2), UTC.

    With a calendar only the time in which it is open counts: a weekend is none, and neither is a pause before it opens.
    """
    if len(times_msc) < 2:
        return np.empty((0, 2), dtype=np.int64)
    begins, ends = times_msc[:-1], times_msc[1:]
    lengths = ends - begins
    if calendar is not None:
        intervals = sessions.open_intervals(calendar, int(times_msc[0]), int(times_msc[-1]) + 1)
        lengths = sessions.open_ms(begins, ends, intervals)
    is_long = lengths > threshold_ms
    return np.column_stack((begins[is_long], ends[is_long]))


def find(
    times_msc: Int64s,
    *,
    since_msc: int,
    from_msc: int,
    to_msc: int,
    allowed_ms: int,
    calendar: Calendar | None,
    lost: Sequence[Lost],
    others: Sequence[Neighbour],
) -> list[Stretch]:
    """Return the stretches without ticks within ``[from_msc, to_msc)``, explained, ascending.

    ``times_msc`` are the ascending ticks of the period and ``since_msc`` the newest one before it, or the feed's begin.
    Silences of up to :data:`arrivals.FLOOR_MS` are none. Of longer ones told is what is closed or not
    connected, and of the rest each piece that is longer than what is normal for the feed, its part before the period
    counted; ``lost`` may reach back before the period, too.
    """
    edges = np.concatenate(([since_msc], times_msc, [to_msc])).astype(np.int64)
    found: list[Stretch] = []
    for begin, end in longer_than(edges, arrivals.FLOOR_MS).tolist():
        for piece in _pieces(begin, end, calendar, lost):
            if piece.to_msc <= from_msc:
                continue
            is_long = piece.to_msc - piece.from_msc > allowed_ms
            piece = replace(piece, from_msc=max(piece.from_msc, from_msc))
            if piece.kind is not Kind.UNKNOWN:
                found.append(piece)
            elif is_long:
                found.append(_judged(piece, others))
    return found


def in_session_ms(begin: int, end: int, calendar: Calendar | None) -> int:
    """Return how much of ``[begin, end)`` a calendar is open, milliseconds; of an unknown session (None) all."""
    if calendar is None:
        return max(end - begin, 0)
    intervals = sessions.open_intervals(calendar, begin, end)
    return int((intervals[:, 1] - intervals[:, 0]).sum())


def missing_ms(stretches: Sequence[Stretch]) -> int:
    """Return how much of the session's time is missing, in milliseconds."""
    return sum(stretch.to_msc - stretch.from_msc for stretch in stretches if stretch.kind in MISSING)


def _pieces(begin: int, end: int, calendar: Calendar | None, lost: Sequence[Lost]) -> Iterator[Stretch]:
    """Cut a silence at the bounds of sessions and connections; what neither explains is unknown."""
    if begin >= end:
        return
    intervals = [[begin, end]] if calendar is None else sessions.open_intervals(calendar, begin, end).tolist()
    closed = "" if calendar is None else f"calendar {calendar.label} is closed"
    at = begin
    for low, high in intervals:
        if at < low:
            yield Stretch(at, low, Kind.CLOSED, closed)
        yield from _connected(low, high, lost)
        at = high
    if at < end:
        yield Stretch(at, end, Kind.CLOSED, closed)


def _connected(begin: int, end: int, lost: Sequence[Lost]) -> Iterator[Stretch]:
    at = begin
    for period in lost:
        low, high = max(period.from_msc, at), min(period.to_msc, end)
        if low >= high:
            continue
        if at < low:
            yield Stretch(at, low, Kind.UNKNOWN, "")
        yield Stretch(low, high, Kind.DISCONNECTED, period.cause)
        at = high
    if at < end:
        yield Stretch(at, end, Kind.UNKNOWN, "")


def _judged(piece: Stretch, others: Sequence[Neighbour]) -> Stretch:
    """Class a silence beyond what is normal by what the other feeds did meanwhile."""
    asked = [other for other in others if not silence.is_closed(other.calendar, piece.from_msc)]
    live = sum(
        arrivals.is_live(other.times_msc, from_msc=piece.from_msc, to_msc=piece.to_msc, longest_ms=other.allowed_ms)
        for other in asked
    )
    if live:
        kind, cause = Kind.STALLED, f"{live} of {len(asked)} other feeds of the source were live"
    elif asked:
        kind, cause = Kind.QUIET, f"the {len(asked)} other feeds of the source were silent too"
    else:
        kind, cause = Kind.UNKNOWN, "the source has no other feed that could tell"
    return Stretch(piece.from_msc, piece.to_msc, kind, cause)
