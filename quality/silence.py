"""Why a feed says nothing: one of five states for each feed of a source at a moment, always with its reason. Pure."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from quality import sessions
from tickhub.core import clock
from tickhub.core.calendars import Calendar
from tickhub.core.clock import HOUR_MS

# A feed with a tick within this is live; longer silent it is quiet, as long as that is normal.
LIVE_MS = 10_000


class State(enum.StrEnum):
    """How a feed is."""

    LIVE = "live"
    QUIET = "quiet"
    CLOSED = "closed"
    STALLED = "stalled"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a feed: when its newest tick was, or since when it is captured where there is none (UTC),
    its longest normal silence, and its calendar (None: session not known)."""

    feed_id: int
    since_msc: int
    has_ticks: bool
    allowed_ms: int
    calendar: Calendar | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of a feed, why, and the figures that tell so."""

    feed_id: int
    state: State
    reason: str
    figures: dict[str, int | None] = field(default_factory=dict)


def judge(feeds: Sequence[Seen], *, at_msc: int, lost: str | None) -> list[Verdict]:
    """Return the state of each feed of one source at a moment (UTC milliseconds), in the order given.

    ``lost`` says how the source's connection is lost, None while it is not, or where nothing can be said of it (a
    recording). Only time in session counts as silence.
    """
    silent = [silent_ms(seen, at_msc) for seen in feeds]
    verdicts = []
    for seen, own_ms in zip(feeds, silent, strict=True):
        live_others = sum(
            other_ms <= other.allowed_ms and other.has_ticks and other.since_msc > seen.since_msc
            for other, other_ms in zip(feeds, silent, strict=True)
            if other is not seen and not is_closed(other.calendar, at_msc)
        )
        state, reason = _state(seen, own_ms, at_msc=at_msc, lost=lost, others=len(feeds) - 1, live_others=live_others)
        figures = {"silent_ms": own_ms, "allowed_ms": seen.allowed_ms, "live_others": live_others}
        verdicts.append(Verdict(seen.feed_id, state, reason, {**figures, "since_msc": seen.since_msc}))
    return verdicts


def _state(
    seen: Seen, own_ms: int, *, at_msc: int, lost: str | None, others: int, live_others: int
) -> tuple[State, str]:
    since = f"silent for {own_ms / 1000:.1f} s" if seen.has_ticks else f"no tick yet in {own_ms / 1000:.1f} s"
    normal = f"normal is up to {seen.allowed_ms / 1000:.1f} s"
    if seen.calendar is not None and is_closed(seen.calendar, at_msc):
        return State.CLOSED, f"calendar {seen.calendar.label} is closed"
    if lost is not None:
        return State.DISCONNECTED, lost
    if own_ms <= LIVE_MS and seen.has_ticks:
        return State.LIVE, f"newest tick {own_ms / 1000:.1f} s ago"
    if own_ms <= seen.allowed_ms:
        return State.QUIET, f"{since}, {normal}"
    if live_others:
        return State.STALLED, f"{since}, {normal}, and {live_others} of {others} other feeds of the source are live"
    if others:
        return State.QUIET, f"{since}, {normal}, and the {others} other feeds of the source are silent too"
    return State.QUIET, f"{since}, {normal}; the source has no other feed that could tell"


def silent_ms(seen: Seen, at_msc: int) -> int:
    """Return how long a feed has been silent in session at a moment, in milliseconds."""
    if at_msc <= seen.since_msc:
        return 0
    if seen.calendar is None:
        return at_msc - seen.since_msc
    intervals = sessions.open_intervals(seen.calendar, seen.since_msc, at_msc)
    return int((intervals[:, 1] - intervals[:, 0]).sum())


def is_closed(calendar: Calendar | None, at_msc: int) -> bool:
    """Return whether a calendar is closed at a moment; an unknown session (None) never is."""
    if calendar is None:
        return False
    hour = at_msc // HOUR_MS * HOUR_MS
    times = np.array([at_msc], dtype=np.int64)
    return not bool(sessions.is_open(times, sessions.open_intervals(calendar, hour, hour + HOUR_MS))[0])


def describe(verdict: Verdict) -> dict[str, object]:
    """Return a verdict as JSON."""
    since_msc = verdict.figures["since_msc"]
    return {
        "state": verdict.state.value,
        "reason": verdict.reason,
        **verdict.figures,
        "since": None if since_msc is None else clock.iso(since_msc),
    }
