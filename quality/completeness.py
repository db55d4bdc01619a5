"""Completeness: the share of the session's time that is not missing, by hour, day of trade and UTC day. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quality import sessions
from tickhub.core.calendars import Calendar
from tickhub.core.clock import DAY_MS, HOUR_MS

# How much of a session may be missing before that is an incident.
MISSING_MOST = 0.05


@dataclass(frozen=True, slots=True)
class Hour:
    """One examined UTC hour (since 1970) of a feed: the session's time in it, and how much of that is missing."""

    hour: int
    session_ms: int
    missing_ms: int


@dataclass(frozen=True, slots=True)
class Share:
    """What is known of a period, UTC milliseconds ``[from_msc, to_msc)``, from the examined hours that begin in it."""

    from_msc: int
    to_msc: int
    session_ms: int
    missing_ms: int

    @property
    def ratio(self) -> float | None:
        """Return the completeness, 0 to 1; None where no examined time lies in session."""
        return 1 - self.missing_ms / self.session_ms if self.session_ms else None


def share(hours: Iterable[Hour], *, from_msc: int, to_msc: int) -> Share:
    """Add up the hours that begin within ``[from_msc, to_msc)``."""
    own = [row for row in hours if from_msc <= row.hour * HOUR_MS < to_msc]
    return Share(from_msc, to_msc, sum(row.session_ms for row in own), sum(row.missing_ms for row in own))


def by_hour(hours: Sequence[Hour]) -> list[Share]:
    """Return each hour's own share."""
    return [share([row], from_msc=row.hour * HOUR_MS, to_msc=(row.hour + 1) * HOUR_MS) for row in hours]


def by_day(hours: Sequence[Hour]) -> list[Share]:
    """Return the share of each UTC day that has an examined hour, ascending."""
    days = sorted({row.hour // 24 for row in hours})
    return [share(hours, from_msc=day * DAY_MS, to_msc=(day + 1) * DAY_MS) for day in days]


def by_session(hours: Sequence[Hour], calendar: Calendar | None) -> list[Share]:
    """Return the share of each day of trade that has an examined hour, ascending; of an unknown session, as by day."""
    if calendar is None:
        return by_day(hours)
    days = sorted({sessions.day_of_trade(calendar, row.hour * HOUR_MS) for row in hours})
    return [share(hours, from_msc=low, to_msc=high) for low, high in days]


def is_incomplete(found: Share, calendar: Calendar | None) -> bool:
    """Return whether more is missing of a day of trade than may be, of all its time in session, examined or not."""
    if calendar is None:
        whole_ms = found.to_msc - found.from_msc
    else:
        intervals = sessions.open_intervals(calendar, found.from_msc, found.to_msc)
        whole_ms = int((intervals[:, 1] - intervals[:, 0]).sum())
    return found.missing_ms > MISSING_MOST * whole_ms
