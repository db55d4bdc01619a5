"""When a calendar is open, in UTC: pure arithmetic on its weekly hours and holidays.

Wall clock becomes UTC at each bound by the time zone's own rules, so that a session keeps its hours in its city over
both switches. A bound in an hour that the switch leaves out lies as far behind the switch as it would without it; one
in an hour shown twice is of the first pass.
"""

import calendar as months
import datetime as dt
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from tickhub.core import clock
from tickhub.core.calendars import WEEK_MIN, Calendar, Holiday
from tickhub.core.clock import DAY_MS
from tickhub.core.ticks import Int64s, Mask

# What is worked out reaches this far at the most: a calendar's date ends with the year 9999.
LATEST_MSC = clock.LATEST_MSC - 60 * DAY_MS
# Intervals are worked out and remembered by stretches of four weeks.
_CHUNK_MS = 28 * DAY_MS
_MINUTE = dt.timedelta(minutes=1)
_DAY = dt.timedelta(days=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_Bounds = list[tuple[int, int]]


def open_intervals(calendar: Calendar, from_msc: int, to_msc: int) -> Int64s:
    """Return when a calendar is open within ``[from_msc, to_msc)``, UTC milliseconds, shape (n, 2), ascending.

    Intervals are half-open; those that touch are one.

    :raises OverflowError: if the period reaches beyond 1970 to :data:`LATEST_MSC` by years
    """
    if from_msc >= to_msc:
        return np.empty((0, 2), dtype=np.int64)
    if calendar.is_always_open:
        return np.array([[from_msc, to_msc]], dtype=np.int64)
    chunks = [_chunk(calendar, number) for number in range(from_msc // _CHUNK_MS, (to_msc - 1) // _CHUNK_MS + 1)]
    found = np.clip(np.concatenate(chunks), from_msc, to_msc)
    return _joined(found[found[:, 0] < found[:, 1]])


def day_of_trade(calendar: Calendar, at_msc: int) -> tuple[int, int]:
    """Return the day of trade of an instant: from one rollover to the next, UTC milliseconds, half-open."""
    zone = ZoneInfo(calendar.zone)
    wall = dt.datetime.fromtimestamp(at_msc // 1000, tz=zone).replace(tzinfo=None)
    begin = dt.datetime(wall.year, wall.month, wall.day) + calendar.rollover_min * _MINUTE  # noqa: DTZ001  # wall clock
    if begin > wall:
        begin -= _DAY
    return _utc_msc(begin, zone), _utc_msc(begin + _DAY, zone)


def is_open(times_msc: Int64s, intervals: Int64s) -> Mask:
    """Mark the times, in any order, that lie in one of the intervals of :func:`open_intervals`, shape (n,)."""
    if len(intervals) == 0:
        return np.zeros(len(times_msc), dtype=bool)
    place = np.searchsorted(intervals[:, 0], times_msc, side="right") - 1
    marks: Mask = (place >= 0) & (times_msc < intervals[np.maximum(place, 0), 1])
    return marks


def open_ms(begins_msc: Int64s, ends_msc: Int64s, intervals: Int64s) -> Int64s:
    """Return how much of each period ``[begin, end)`` the intervals are open, milliseconds, shape (n,)."""
    return _open_before(ends_msc, intervals) - _open_before(begins_msc, intervals)


def _open_before(times_msc: Int64s, intervals: Int64s) -> Int64s:
    if len(intervals) == 0:
        return np.zeros(len(times_msc), dtype=np.int64)
    lengths = intervals[:, 1] - intervals[:, 0]
    place = np.searchsorted(intervals[:, 0], times_msc, side="right") - 1
    own = np.maximum(place, 0)
    inside = np.minimum(times_msc - intervals[own, 0], lengths[own])
    total: Int64s = np.where(place < 0, 0, np.cumsum(lengths)[own] - lengths[own] + inside)
    return total


def _joined(intervals: Int64s) -> Int64s:
    if len(intervals) < 2:
        return intervals
    # A switch may push the end of one over the begin of the next.
    ends = np.maximum.accumulate(intervals[:, 1])
    is_apart = intervals[1:, 0] > ends[:-1]
    begins = intervals[np.concatenate(([True], is_apart)), 0]
    return np.column_stack((begins, ends[np.concatenate((is_apart, [True]))]))


@lru_cache(maxsize=4096)
def _chunk(calendar: Calendar, number: int) -> Int64s:
    low, high = number * _CHUNK_MS, (number + 1) * _CHUNK_MS
    zone = ZoneInfo(calendar.zone)
    # A day more on either side covers every offset from UTC and every day of trade that begins the day before.
    first = (_EPOCH + dt.timedelta(milliseconds=low)).replace(tzinfo=None) - 2 * _DAY
    last = first + dt.timedelta(milliseconds=_CHUNK_MS) + 4 * _DAY
    found: _Bounds = []
    monday = dt.datetime(first.year, first.month, first.day) - first.weekday() * _DAY  # noqa: DTZ001  # wall clock
    while monday < last:
        for begin, end in calendar.week:
            found.append((_utc_msc(monday + begin * _MINUTE, zone), _utc_msc(monday + end * _MINUTE, zone)))
        monday += WEEK_MIN * _MINUTE
    for begin_msc, end_msc in _closings(calendar, first, last, zone):
        found = [
            piece
            for begin, end in found
            for piece in ((begin, min(end, begin_msc)), (max(begin, end_msc), end))
            if piece[0] < piece[1]
        ]
    intervals = np.array(found, dtype=np.int64).reshape(-1, 2)
    intervals = np.clip(_joined(intervals[intervals[:, 0] < intervals[:, 1]]), low, high)
    intervals = intervals[intervals[:, 0] < intervals[:, 1]]
    intervals.flags.writeable = False
    return intervals


def _utc_msc(wall: dt.datetime, zone: ZoneInfo) -> int:
    return (wall.replace(tzinfo=zone) - _EPOCH) // dt.timedelta(milliseconds=1)


def _closings(calendar: Calendar, first: dt.datetime, last: dt.datetime, zone: ZoneInfo) -> _Bounds:
    """Return what holidays close, UTC, for the days of trade within ``[first, last)`` of the wall clock."""
    found: _Bounds = []
    for year in range(first.year, last.year + 1):
        for holiday in calendar.holidays:
            is_missing = (holiday.month, holiday.day) == (2, 29) and not months.isleap(year)
            if is_missing or holiday.year not in (None, year):
                continue
            day = dt.datetime(year, holiday.month, holiday.day)  # noqa: DTZ001  # wall clock
            if first <= day < last:
                begin, end = _closing(calendar, holiday, day)
                found.append((_utc_msc(begin, zone), _utc_msc(end, zone)))
    return found


def _closing(calendar: Calendar, holiday: Holiday, day: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Return the wall clock that a holiday closes: its day of trade, or what of it lies before or behind a time."""
    begin = _wall(day, calendar.rollover_min, calendar)
    end = begin + _DAY
    if holiday.opens_min is not None:
        return begin, _wall(day, holiday.opens_min, calendar)
    return (begin if holiday.closes_min is None else _wall(day, holiday.closes_min, calendar)), end


def _wall(day: dt.datetime, minute: int, calendar: Calendar) -> dt.datetime:
    """Return a time of a day of trade: from the rollover on it is that of the date before."""
    is_of_date_before = calendar.rollover_min > 0 and minute >= calendar.rollover_min
    return day + minute * _MINUTE - int(is_of_date_before) * _DAY
