"""The rule of a terminal's wall clock: a fixed offset from UTC, or a time zone with a shift.

A broker's clock is wall clock written as if it were UTC. Most FX brokers run seven hours ahead of New York, so that a
day's bar closes at 17:00 there; others follow their own zone, or none.
"""

import datetime as dt
import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tickhub.core.clock import DAY_MS, HOUR_MS
from tickhub.core.errors import PermanentError

OFFSET_MS_MAX = 15 * HOUR_MS
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?h?", re.ASCII)
_SHIFTED = re.compile(r"([A-Za-z][A-Za-z0-9_/-]*?)([+-]\d{1,2}(?::?\d{2})?h?)", re.ASCII)
_ALIASES = {"NY": "America/New_York", "NewYork": "America/New_York"}
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class ClockRule:
    """How far a wall clock is from UTC at any time; ``text`` is the rule as it is stored and shown."""

    text: str
    zone: str | None
    shift_ms: int

    def offset_ms(self, utc_msc: int) -> int:
        """Return wall clock minus UTC at a UTC instant."""
        if self.zone is None:
            return self.shift_ms
        moment = dt.datetime.fromtimestamp(utc_msc // 1000, tz=ZoneInfo(self.zone))
        offset = moment.utcoffset() or dt.timedelta()
        return offset // dt.timedelta(milliseconds=1) + self.shift_ms

    def epochs(self, from_msc: int, to_msc: int) -> list[tuple[int, int]]:
        """Return the offsets that hold within ``[from_msc, to_msc)`` as ``(starts_msc, offset_ms)``, ascending.

        The first starts at ``from_msc``, the others at the instant of a switch, exact to the minute.
        """
        found = [(from_msc, self.offset_ms(from_msc))]
        if self.zone is None:
            return found
        day = from_msc
        while day < to_msc:
            next_day = min(day + DAY_MS, to_msc)
            offset = self.offset_ms(next_day)
            if offset != found[-1][1]:
                start = self._switch(day, next_day, offset)
                if start < to_msc:
                    found.append((start, offset))
            day = next_day
        return found

    def _switch(self, low: int, high: int, offset_ms: int) -> int:
        """Return the first whole minute of ``(low, high]`` at which the offset holds."""
        first, last = low // _MINUTE_MS, -(-high // _MINUTE_MS)
        while last - first > 1:
            middle = (first + last) // 2
            if self.offset_ms(middle * _MINUTE_MS) == offset_ms:
                last = middle
            else:
                first = middle
        return last * _MINUTE_MS


UTC = ClockRule("UTC", None, 0)


def fixed(offset_ms: int) -> ClockRule:
    """Return the rule of a clock that is always equally far from UTC."""
    return UTC if offset_ms == 0 else ClockRule(_offset_text(offset_ms), None, offset_ms)


@lru_cache(maxsize=256)
def parse(text: str) -> ClockRule:
    """Read ``UTC``, ``+03:00``, an IANA zone, or a zone and a shift: ``America/New_York+07:00``, in short ``NY+7``.

    :raises ValueError: if it is none of these, or further than 15 hours from UTC
    """
    if text in ("UTC", "GMT", "Z"):
        return UTC
    match = _OFFSET.fullmatch(text)
    if match:
        return fixed(_offset_ms(match))
    zone = _ALIASES.get(text, text)
    if _is_zone(zone):
        return ClockRule(zone, zone, 0)
    shifted = _SHIFTED.fullmatch(text)
    if shifted:
        zone, offset = _ALIASES.get(shifted[1], shifted[1]), _OFFSET.fullmatch(shifted[2])
        if offset and _is_zone(zone):
            shift_ms = _offset_ms(offset)
            return ClockRule(zone + (_offset_text(shift_ms) if shift_ms else ""), zone, shift_ms)
    msg = (
        "expected UTC, an offset such as +03:00, a time zone such as Europe/Athens, or a zone and a shift such as NY+7"
    )
    raise ValueError(msg)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _offset_ms(match: re.Match[str]) -> int:
    minutes = int(match[3] or 0)
    offset_ms = int(match[2]) * HOUR_MS + minutes * _MINUTE_MS
    if minutes > 59 or offset_ms > OFFSET_MS_MAX:
        msg = "expected an offset of at most 15 hours"
        raise ValueError(msg)
    return -offset_ms if match[1] == "-" else offset_ms


def _offset_text(offset_ms: int) -> str:
    hours, minutes = divmod(abs(offset_ms) // _MINUTE_MS, 60)
    return f"{'-' if offset_ms < 0 else '+'}{hours:02}:{minutes:02}"


class EpochUnknown(PermanentError):
    """Something stands in an epoch that its source does not have."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """A dated interval of one offset: UTC instants ``[starts_msc, ends_msc)``; ``epoch_id`` is its row's."""

    epoch_id: int
    starts_msc: int
    ends_msc: int
    offset_ms: int

    @property
    def wall_start_msc(self) -> int:
        """Return its first millisecond on the wall clock."""
        return self.starts_msc + self.offset_ms


@dataclass(frozen=True, slots=True)
class Epochs:
    """All epochs of a source without a gap, ascending; the first holds for all time before it, the last for ever."""

    rows: tuple[Epoch, ...]

    def at(self, utc_msc: int) -> Epoch:
        """Return the epoch of a UTC instant."""
        return self.rows[self.place_at(utc_msc)]

    def place_at(self, utc_msc: int) -> int:
        """Return the place of the epoch of a UTC instant."""
        return max(bisect_right([row.starts_msc for row in self.rows], utc_msc) - 1, 0)

    def of(self, epoch_id: int) -> Epoch:
        """Return the epoch of a row.

        :raises EpochUnknown: if there is none
        """
        for row in self.rows:
            if row.epoch_id == epoch_id:
                return row
        msg = f"clock epoch {epoch_id}: the source has only {', '.join(str(row.epoch_id) for row in self.rows)}"
        raise EpochUnknown(msg)

    def within(self, from_msc: int, to_msc: int) -> list[tuple[Epoch, int, int]]:
        """Cut the period ``[from_msc, to_msc)`` in UTC at the switches: epochs with their share of it."""
        shares = []
        for row in self.rows:
            low, high = max(from_msc, row.starts_msc), min(to_msc, row.ends_msc)
            if low < high:
                shares.append((row, low, high))
        return shares

    def repeated(self, place: int) -> tuple[int, int] | None:
        """Return the stretch of wall clock ``[from, to)`` that epoch ``place`` shows for the second time, if any."""
        if place <= 0 or place >= len(self.rows):
            return None
        own, before = self.rows[place], self.rows[place - 1]
        if own.offset_ms >= before.offset_ms:
            return None
        return own.wall_start_msc, own.starts_msc + before.offset_ms

    def skipped_ms(self, place: int) -> int:
        """Return how much wall clock the switch to the next epoch leaves out (spring), 0 where none."""
        if place + 1 >= len(self.rows):
            return 0
        return max(self.rows[place + 1].offset_ms - self.rows[place].offset_ms, 0)


def epochs_from(rule: ClockRule, *, to_msc: int) -> Epochs:
    """Return the epochs that a rule makes from 1970 up to a UTC instant; their ids count from 0."""
    return epochs_of([(number, start, offset) for number, (start, offset) in enumerate(rule.epochs(0, to_msc))])


# Times that no capture reaches.
EARLIEST_MSC, LATEST_MSC = -(1 << 62), 1 << 62


def epochs_of(rows: list[tuple[int, int, int]]) -> Epochs:
    """Build epochs from ``(epoch_id, starts_msc, offset_ms)``, ascending.

    :raises ValueError: if there is none
    """
    if not rows:
        raise ValueError("a clock needs at least one epoch")
    starts = [EARLIEST_MSC, *(start for _, start, _ in rows[1:]), LATEST_MSC]
    return Epochs(
        tuple(
            Epoch(epoch_id, starts[place], starts[place + 1], offset_ms)
            for place, (epoch_id, _, offset_ms) in enumerate(rows)
        )
    )
