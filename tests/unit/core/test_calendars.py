"""The texts of calendars: what they mean, and what is refused with one clear line."""

import pytest

from tickhub.core import calendars
from tickhub.core.calendars import Calendar, Holiday, InvalidCalendar

HOUR = 60
DAY = 24 * HOUR


def read(hours: str, breaks: str = "", holidays: str = "", zone: str = "UTC", rollover: str = "00:00") -> Calendar:
    return calendars.parse(name="x", zone=zone, hours=hours, breaks=breaks, holidays=holidays, rollover=rollover)


def test_a_stretch_over_the_end_of_the_week_is_cut_there() -> None:
    week = read("Sun 17:00 - Fri 17:00").week

    assert week == ((0, 4 * DAY + 17 * HOUR), (6 * DAY + 17 * HOUR, 7 * DAY))


def test_the_same_times_of_several_days_are_one_span_each() -> None:
    assert read("Mon-Tue 09:30-16:00").week == ((570, 960), (DAY + 570, DAY + 960))


def test_all_days_together_never_close() -> None:
    calendar = read("Mon-Sun 00:00-24:00")

    assert calendar.week == ((0, 7 * DAY),)
    assert calendar.is_always_open
    assert not read("Mon-Sun 00:00-24:00", holidays="12-25 closed").is_always_open


def test_breaks_are_taken_out_of_the_hours() -> None:
    week = read("Mon 00:00 - Wed 00:00", breaks="Mon 17:00-18:00\nTue 23:00-24:00").week

    assert week == ((0, 17 * HOUR), (18 * HOUR, DAY + 23 * HOUR))


def test_holidays_are_closed_or_open_for_a_part_of_the_day() -> None:
    days = read(
        "Mon-Fri 09:00-17:00", holidays="12-25 closed\n2026-11-27 closes 13:00\n2026-01-02 opens 10:00"
    ).holidays

    assert days == (
        Holiday(None, 12, 25, is_closed=True),
        Holiday(2026, 11, 27, closes_min=13 * HOUR),
        Holiday(2026, 1, 2, opens_min=10 * HOUR),
    )


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"hours": "Mon 17:00-09:00"}, "calendar x: 'Mon 17:00-09:00' ends before it begins"),
        ({"hours": "Fri-Mon 09:00-17:00"}, "calendar x: 'Fri-Mon 09:00-17:00' ends before it begins"),
        ({"hours": "Mon 17:00 - Mon 17:00"}, "calendar x: 'Mon 17:00 - Mon 17:00' ends before it begins"),
        ({"hours": "Mon 25:00-26:00"}, "calendar x: time 25:00: expected 00:00 to 24:00"),
        ({"hours": "weekdays"}, "calendar x: 'weekdays': expected 'Sun 17:00 - Fri 17:00' or 'Mon-Fri 09:30-16:00'"),
        ({"hours": ""}, "calendar x: it is never open"),
        ({"hours": "Mon 09:00-17:00", "breaks": "Mon-Fri 00:00-24:00"}, "calendar x: it is never open"),
        (
            {"hours": "Mon-Wed 09:00-17:00\nTue 16:59-18:00"},
            "calendar x: 'Mon-Wed 09:00-17:00' and 'Tue 16:59-18:00' overlap",
        ),
        (
            {"hours": "Mon 00:00-24:00", "breaks": "Mon 10:00-12:00\nMon 11:00-13:00"},
            "calendar x: 'Mon 10:00-12:00' and 'Mon 11:00-13:00' overlap",
        ),
        (
            {"hours": "Mon 00:00-24:00", "zone": "Sea/Atlantis"},
            "calendar x: time zone 'Sea/Atlantis' is not known",
        ),
        ({"hours": "Mon 00:00-24:00", "holidays": "02-30 closed"}, "calendar x: '02-30 closed': there is no such day"),
        (
            {"hours": "Mon 00:00-24:00", "holidays": "12-25 closed\n12-25 closes 13:00"},
            "calendar x: '12-25 closes 13:00': that day is given twice",
        ),
        (
            {"hours": "Mon 00:00-24:00", "holidays": "Christmas"},
            "calendar x: 'Christmas': expected '12-25 closed', '2026-11-27 closes 13:00' or '2026-01-02 opens 10:00'",
        ),
        ({"hours": "Mon 00:00-24:00", "rollover": "5pm"}, "calendar x: time 5pm: expected 00:00 to 24:00"),
    ],
)
def test_what_cannot_be_is_refused_with_one_line(texts: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidCalendar) as refused:
        read(**texts)

    assert str(refused.value) == message
