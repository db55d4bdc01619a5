"""When an instrument can be traded: weekly hours, breaks and holidays on the wall clock of a time zone, as text and as
values.

Hours and breaks stand one to a line, either as a stretch of the week, ``Sun 17:00 - Fri 17:00``, or as the same times
of several days, ``Mon-Fri 09:30-16:00``. Holidays are days of trade, ``12-25 closed`` (every year), ``2026-11-27
closes 13:00`` or ``2026-01-02 opens 10:00``. A day of trade begins at the calendar's rollover: with one of 17:00 the
25th is the time from the 24th, 17:00, to the 25th, 17:00.
"""

import calendar as months
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tickhub.core.errors import UsageError

DAY_MIN = 1_440
WEEK_MIN = 7 * DAY_MIN
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = f"({'|'.join(_DAYS)})"
_TIME = r"(\d\d:\d\d)"
_STRETCH = re.compile(rf"{_DAY} {_TIME} ?- ?{_DAY} {_TIME}", re.ASCII)
_DAILY = re.compile(rf"{_DAY}(?:-{_DAY})? {_TIME}-{_TIME}", re.ASCII)
_HOLIDAY = re.compile(rf"(?:(\d{{4}})-)?(\d\d)-(\d\d) (closed|(closes|opens) {_TIME})", re.ASCII)

# Minutes since Monday 00:00 of the wall clock, half-open, within one week.
Span = tuple[int, int]


class InvalidCalendar(UsageError):
    """A calendar's text cannot be read, or contradicts itself."""


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day of trade that is not like others; ``year`` is None for every year.

    It is open from ``opens_min`` to ``closes_min`` only, minutes of the wall clock, None for the day's own begin or
    end; with ``is_closed`` it is not open at all.
    """

    year: int | None
    month: int
    day: int
    is_closed: bool = False
    opens_min: int | None = None
    closes_min: int | None = None


@dataclass(frozen=True, slots=True)
class Calendar:
    """A named calendar; ``week`` holds the open spans, ascending and apart, with the breaks already taken out."""

    name: str
    version: int
    zone: str
    week: tuple[Span, ...]
    holidays: tuple[Holiday, ...]
    rollover_min: int

    @property
    def label(self) -> str:
        """Return the name and version by which a batch records it."""
        return f"{self.name}:{self.version}"

    @property
    def is_always_open(self) -> bool:
        """Return whether it never closes."""
        return self.week == ((0, WEEK_MIN),) and not self.holidays


@lru_cache(maxsize=256)
def parse(
    *, name: str, version: int = 1, zone: str, hours: str, breaks: str = "", holidays: str = "", rollover: str = "00:00"
) -> Calendar:
    """Read a calendar's texts.

    :raises InvalidCalendar: naming the calendar and the line
    """
    try:
        _check_zone(zone)
        week = _week(hours, breaks)
        days = _holidays(holidays)
        rollover_min = _minutes(rollover) % DAY_MIN
    except InvalidCalendar as error:
        msg = f"calendar {name}: {error}"
        raise InvalidCalendar(msg) from error
    return Calendar(name, version, zone, week, days, rollover_min)


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        msg = f"time zone {zone!r} is not known"
        raise InvalidCalendar(msg) from error


def _week(hours: str, breaks: str) -> tuple[Span, ...]:
    week = _subtract(_spans(hours), _spans(breaks))
    if not week:
        raise InvalidCalendar("it is never open")
    return week


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _minutes(text: str) -> int:
    hours, separator, minutes = text.partition(":")
    is_time = bool(separator) and len(text) == 5 and hours.isdecimal() and minutes.isdecimal()
    found = int(hours) * 60 + int(minutes) if is_time else -1
    if not is_time or int(minutes) > 59 or found > DAY_MIN:
        msg = f"time {text}: expected 00:00 to 24:00"
        raise InvalidCalendar(msg)
    return found


def _spans(text: str) -> list[Span]:
    """Return the spans of all lines, ascending, those over the end of the week cut in two.

    :raises InvalidCalendar: if a line cannot be read, or two overlap
    """
    told = sorted((span, line) for line in _lines(text) for span in _spans_of(line))
    for (before, one), (after, other) in pairwise(told):
        if after[0] < before[1]:
            msg = f"{one!r} and {other!r} overlap"
            raise InvalidCalendar(msg)
    return _joined(span for span, _ in told)


def _spans_of(line: str) -> list[Span]:
    stretch, daily = _STRETCH.fullmatch(line), _DAILY.fullmatch(line)
    if stretch:
        begin = _DAYS.index(stretch[1]) * DAY_MIN + _minutes(stretch[2])
        end = _DAYS.index(stretch[3]) * DAY_MIN + _minutes(stretch[4])
        if stretch[1] == stretch[3] and end <= begin:
            msg = f"{line!r} ends before it begins"
            raise InvalidCalendar(msg)
        found = [(begin, end)] if begin < end else [(begin, WEEK_MIN), (0, end)]
        return [span for span in found if span[0] < span[1]]
    if not daily:
        msg = f"{line!r}: expected 'Sun 17:00 - Fri 17:00' or 'Mon-Fri 09:30-16:00'"
        raise InvalidCalendar(msg)
    first, last = _DAYS.index(daily[1]), _DAYS.index(daily[2] or daily[1])
    begin, end = _minutes(daily[3]), _minutes(daily[4])
    if end <= begin or last < first:
        msg = f"{line!r} ends before it begins"
        raise InvalidCalendar(msg)
    return [(day * DAY_MIN + begin, day * DAY_MIN + end) for day in range(first, last + 1)]


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Join ascending spans that touch."""
    found: list[Span] = []
    for begin, end in spans:
        if found and found[-1][1] == begin:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found


def _subtract(spans: list[Span], taken: list[Span]) -> tuple[Span, ...]:
    for low, high in taken:
        spans = [
            piece
            for begin, end in spans
            for piece in ((begin, min(end, low)), (max(begin, high), end))
            if piece[0] < piece[1]
        ]
    return tuple(spans)


def _holidays(text: str) -> tuple[Holiday, ...]:
    found: dict[tuple[int | None, int, int], Holiday] = {}
    for line in _lines(text):
        match = _HOLIDAY.fullmatch(line)
        if not match:
            msg = f"{line!r}: expected '12-25 closed', '2026-11-27 closes 13:00' or '2026-01-02 opens 10:00'"
            raise InvalidCalendar(msg)
        year, month, day = int(match[1]) if match[1] else None, int(match[2]), int(match[3])
        # 2000 was a leap year: the 29th of February of every year is the one of leap years.
        if not 1 <= month <= 12 or not 1 <= day <= months.monthrange(year or 2000, month)[1]:
            msg = f"{line!r}: there is no such day"
            raise InvalidCalendar(msg)
        if (year, month, day) in found:
            msg = f"{line!r}: that day is given twice"
            raise InvalidCalendar(msg)
        at_min = _minutes(match[6]) if match[6] else None
        found[year, month, day] = Holiday(
            year,
            month,
            day,
            is_closed=match[5] is None,
            opens_min=at_min if match[5] == "opens" else None,
            closes_min=at_min if match[5] == "closes" else None,
        )
    return tuple(found.values())
