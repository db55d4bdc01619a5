"""When calendars are open, in UTC, with expected times by hand."""

import numpy as np
import pytest

from quality import sessions
from quality.checks import sessions as session_checks
from tests.builders import make_batch, make_ticks
from tickhub.core import calendars, clock
from tickhub.core.calendars import Calendar
from tickhub.core.clock import HOUR_MS

FX = calendars.parse(
    name="fx",
    zone="America/New_York",
    hours="Sun 17:00 - Fri 17:00",
    holidays="12-25 closed\n01-01 closed",
    rollover="17:00",
)
METALS = calendars.parse(
    name="metals",
    zone="America/New_York",
    hours="Sun 18:00 - Fri 17:00",
    breaks="Mon-Thu 17:00-18:00",
    rollover="17:00",
)
SHARES = calendars.parse(
    name="shares",
    zone="America/New_York",
    hours="Mon-Fri 09:30-16:00",
    holidays="2026-11-26 closed\n2026-11-27 closes 13:00\n2026-11-30 opens 11:00",
)
ALWAYS = calendars.parse(name="always", zone="UTC", hours="Mon-Sun 00:00-24:00")


def opened(calendar: Calendar, start: str, end: str) -> list[tuple[str, str]]:
    """The open intervals of a period, written shortly in UTC."""
    found = sessions.open_intervals(calendar, clock.parse(start), clock.parse(end))
    return [(clock.iso(low)[5:16], clock.iso(high)[5:16]) for low, high in found.tolist()]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        # New York is five hours behind UTC in winter, four in summer; it switches on 8 March and 1 November 2026.
        ("2026-03-02", "2026-03-11", [("03-02T00:00", "03-06T22:00"), ("03-08T21:00", "03-11T00:00")]),
        ("2026-10-28", "2026-11-04", [("10-28T00:00", "10-30T21:00"), ("11-01T22:00", "11-04T00:00")]),
        # A period within the closing, and one that ends at its begin.
        ("2026-03-07", "2026-03-08", []),
        ("2026-03-06T21:00", "2026-03-06T22:00", [("03-06T21:00", "03-06T22:00")]),
    ],
)
def test_the_week_of_currencies_is_that_of_new_york(start: str, end: str, expected: list[tuple[str, str]]) -> None:
    assert opened(FX, start, end) == expected


def test_a_holiday_closes_its_day_of_trade() -> None:
    # Thursday 25 December 2025 and Thursday 1 January 2026, each from 17:00 the day before.
    assert opened(FX, "2025-12-24", "2026-01-03") == [
        ("12-24T00:00", "12-24T22:00"),
        ("12-25T22:00", "12-26T22:00"),
        ("12-28T22:00", "12-31T22:00"),
        ("01-01T22:00", "01-02T22:00"),
    ]


def test_the_daily_break_of_gold_follows_new_york_over_the_switch() -> None:
    assert opened(METALS, "2026-10-29T12:00", "2026-11-03T12:00") == [
        ("10-29T12:00", "10-29T21:00"),
        ("10-29T22:00", "10-30T21:00"),
        ("11-01T23:00", "11-02T22:00"),
        ("11-02T23:00", "11-03T12:00"),
    ]


def test_shares_close_early_open_late_and_not_at_all() -> None:
    assert opened(SHARES, "2026-11-25", "2026-12-02") == [
        ("11-25T14:30", "11-25T21:00"),
        ("11-27T14:30", "11-27T18:00"),
        ("11-30T16:00", "11-30T21:00"),
        ("12-01T14:30", "12-01T21:00"),
    ]


def test_an_early_close_of_a_day_that_began_the_day_before_closes_its_rest() -> None:
    calendar = calendars.parse(
        name="x", zone="UTC", hours="Mon-Sun 00:00-24:00", holidays="2026-12-24 closes 12:00\n2026-12-28 opens 20:00",
        rollover="17:00",
    )  # fmt: skip

    # 20:00 is behind the rollover: the day of trade of the 28th reaches it on the 27th.
    assert opened(calendar, "2026-12-24", "2026-12-29") == [
        ("12-24T00:00", "12-24T12:00"),
        ("12-24T17:00", "12-27T17:00"),
        ("12-27T20:00", "12-29T00:00"),
    ]


def test_what_never_closes_is_open_for_the_whole_period() -> None:
    assert opened(ALWAYS, "1971-01-01", "2999-01-01") == [("01-01T00:00", "01-01T00:00")]


def test_a_long_period_is_the_same_as_its_pieces() -> None:
    start, end = clock.parse("2024-01-01"), clock.parse("2027-01-01")
    whole = sessions.open_intervals(METALS, start, end)

    pieces = [sessions.open_intervals(METALS, at, at + HOUR_MS) for at in range(start, end, HOUR_MS)]

    lengths = [int((piece[:, 1] - piece[:, 0]).sum()) for piece in pieces]
    assert sum(lengths) == int((whole[:, 1] - whole[:, 0]).sum())
    assert (whole[1:, 0] > whole[:-1, 1]).all()


def test_bounds_are_half_open() -> None:
    close, reopen = clock.parse("2026-03-06T22:00Z"), clock.parse("2026-03-08T21:00Z")
    intervals = sessions.open_intervals(FX, close - HOUR_MS, reopen + HOUR_MS)

    times = np.array([reopen, close - 1, close, reopen - 1, close - 2 * HOUR_MS], dtype=np.int64)

    assert sessions.is_open(times, intervals).tolist() == [True, True, False, False, False]


def test_nothing_is_open_without_an_interval_and_nothing_marked_without_a_time() -> None:
    none = sessions.open_intervals(FX, 5, 5)

    assert none.shape == (0, 2)
    assert sessions.is_open(np.array([5], dtype=np.int64), none).tolist() == [False]
    assert sessions.is_open(np.zeros(0, dtype=np.int64), sessions.open_intervals(FX, 0, HOUR_MS)).tolist() == []


def test_the_open_part_of_periods_is_measured() -> None:
    close = clock.parse("2026-03-06T22:00Z")
    intervals = sessions.open_intervals(FX, close - 10 * HOUR_MS, close + 72 * HOUR_MS)
    begins = np.array([close - HOUR_MS, close + HOUR_MS, close - 2 * HOUR_MS, close + 46 * HOUR_MS], dtype=np.int64)
    ends = np.array([close + HOUR_MS, close + 2 * HOUR_MS, close - HOUR_MS, close + 48 * HOUR_MS], dtype=np.int64)

    # It opens again 47 hours after the close, for the clock is put forward meanwhile.
    found = sessions.open_ms(begins, ends, intervals)

    assert found.tolist() == [HOUR_MS, 0, HOUR_MS, HOUR_MS]


def test_ticks_outside_their_session_are_marked_and_those_of_no_plausible_day_are_not() -> None:
    close = clock.parse("2026-03-06T22:00Z")
    batch = make_batch(make_ticks([(-1, 1.1, 1.2), (0, 1.1, 1.2), (5, 1.1, 1.2), (10, 1.1, 1.2)], start_msc=close))

    def marked(calendar: Calendar | None) -> list[bool]:
        found = session_checks.out_of_session(
            batch, calendars={1: calendar}, earliest_msc=close - 9, latest_msc=close + 10
        )
        return found.tolist()

    assert marked(FX) == [False, True, True, False]
    assert marked(ALWAYS) == [False] * 4
    assert marked(None) == [False] * 4


@pytest.mark.parametrize("count", [0, 1])
def test_the_check_works_on_no_tick_and_on_one(count: int) -> None:
    batch = make_batch(make_ticks([(0, 1.1, 1.2)][:count]))

    marks = session_checks.out_of_session(batch, calendars={1: FX}, earliest_msc=0, latest_msc=1 << 60)

    assert marks.tolist() == [False] * count
