"""Clock rules and epochs, against dates of the IANA database written down by hand."""

import datetime as dt

import pytest

from tickhub.core import zones
from tickhub.core.clock import HOUR_MS


def utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp() * 1000)


def test_new_york_plus_seven_is_two_hours_ahead_of_utc_in_winter_and_three_in_summer() -> None:
    rule = zones.parse("NY+7")

    assert rule.text == "America/New_York+07:00"
    assert rule.offset_ms(utc("2026-01-15T00:00:00")) == 2 * HOUR_MS
    assert rule.offset_ms(utc("2026-07-15T00:00:00")) == 3 * HOUR_MS


def test_the_switches_of_new_york_in_2026_are_found_to_the_minute() -> None:
    found = zones.parse("America/New_York+07:00").epochs(utc("2026-01-01T00:00:00"), utc("2027-01-01T00:00:00"))

    # Second Sunday of March and first Sunday of November, 2:00 local time.
    assert found == [
        (utc("2026-01-01T00:00:00"), 2 * HOUR_MS),
        (utc("2026-03-08T07:00:00"), 3 * HOUR_MS),
        (utc("2026-11-01T06:00:00"), 2 * HOUR_MS),
    ]


def test_the_switches_of_the_european_union_differ_from_those_of_new_york() -> None:
    found = zones.parse("Europe/Athens").epochs(utc("2026-01-01T00:00:00"), utc("2027-01-01T00:00:00"))

    assert [start for start, _ in found[1:]] == [utc("2026-03-29T01:00:00"), utc("2026-10-25T01:00:00")]


@pytest.mark.parametrize(
    ("text", "canonical", "hours"),
    [
        ("UTC", "UTC", 0.0),
        ("Z", "UTC", 0.0),
        ("+3", "+03:00", 3.0),
        ("UTC-5", "-05:00", -5.0),
        ("+05:30", "+05:30", 5.5),
    ],
)
def test_a_fixed_offset_is_read_in_its_usual_spellings(text: str, canonical: str, hours: float) -> None:
    rule = zones.parse(text)

    assert (rule.text, rule.offset_ms(0), rule.zone) == (canonical, int(hours * HOUR_MS), None)


@pytest.mark.parametrize("text", ["", "Mars/Olympus", "+16", "+03:75", "NY+", "../../etc/passwd", "NY+7+7"])
def test_what_is_no_clock_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        zones.parse(text)


def two_epochs(first_hours: int, second_hours: int) -> zones.Epochs:
    switch = utc("2026-11-01T06:00:00")
    return zones.epochs_of([(1, 0, first_hours * HOUR_MS), (2, switch, second_hours * HOUR_MS)])


def test_an_autumn_switch_repeats_an_hour_of_wall_clock() -> None:
    epochs = two_epochs(3, 2)

    # 06:00 UTC is 09:00 on the old clock and 08:00 on the new one.
    assert epochs.repeated(1) == (utc("2026-11-01T08:00:00"), utc("2026-11-01T09:00:00"))
    assert (epochs.repeated(0), epochs.skipped_ms(0)) == (None, 0)


def test_a_spring_switch_repeats_nothing_and_skips_an_hour() -> None:
    epochs = two_epochs(2, 3)

    assert (epochs.repeated(1), epochs.skipped_ms(0), epochs.skipped_ms(1)) == (None, HOUR_MS, 0)


def test_a_period_is_cut_at_the_switch() -> None:
    switch = utc("2026-11-01T06:00:00")
    shares = two_epochs(3, 2).within(switch - 5, switch + 7)

    assert [(epoch.epoch_id, low, high) for epoch, low, high in shares] == [
        (1, switch - 5, switch),
        (2, switch, switch + 7),
    ]


def test_the_first_epoch_holds_for_all_time_before_it() -> None:
    assert two_epochs(3, 2).at(-(10**15)).epoch_id == 1
