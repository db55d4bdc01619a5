"""The arrival model, with expected values by hand."""

import numpy as np
import pytest

from quality import arrivals

# Hours since 1970 of a Monday, 10:00 UTC.
MONDAY = 492_346
WEEK, DAY = 168, 24


def allowed(hour: int, learned: list[tuple[int, int]]) -> int:
    hours, usual = arrivals.hours_of(learned)
    return arrivals.allowed_ms(hour, hours=hours, usual_ms=usual)


def test_the_usual_gap_leaves_out_the_longest_of_two_hundred() -> None:
    gaps = [100] * 198 + [5_000, 90_000]

    assert arrivals.usual_gap_ms(np.cumsum([0, *gaps])) == 5_000


def test_a_gap_that_is_explained_otherwise_teaches_nothing() -> None:
    times = np.array([0, 100, 90_000, 90_300], dtype=np.int64)

    assert arrivals.usual_gap_ms(times, explained_msc=[100]) == 300
    assert arrivals.usual_gap_ms(times, explained_msc=[5_000, 89_999, 90_300, -1]) == 300
    assert arrivals.usual_gap_ms(times[:2], explained_msc=[0]) is None


@pytest.mark.parametrize(("times", "expected"), [([], None), ([7], None), ([7, 10], 3), ([7, 7], 0)])
def test_few_ticks_tell_what_they_can(times: list[int], expected: int | None) -> None:
    assert arrivals.usual_gap_ms(np.array(times, dtype=np.int64)) == expected


def test_without_history_the_floor_holds() -> None:
    assert allowed(MONDAY, []) == 60_000


def test_five_times_the_largest_of_the_same_hour_of_the_week_is_normal() -> None:
    learned = [(MONDAY - WEEK, 20_000), (MONDAY - 2 * WEEK, 30_000), (MONDAY - DAY, 99_000)]

    assert allowed(MONDAY, learned) == 150_000


def test_the_same_hour_of_the_days_before_stands_in_for_weeks_that_are_missing() -> None:
    learned = [(MONDAY - WEEK, 20_000), (MONDAY - DAY, 40_000), (MONDAY - 8 * DAY, 90_000), (MONDAY - 3, 80_000)]

    assert allowed(MONDAY, learned) == 200_000


def test_before_a_day_is_over_any_hour_of_it_teaches() -> None:
    assert allowed(MONDAY, [(MONDAY - 3, 80_000), (MONDAY - 24 * 6 - 1, 90_000)]) == 400_000


def test_what_comes_later_or_lies_four_weeks_back_teaches_nothing() -> None:
    assert allowed(MONDAY, [(MONDAY, 50_000), (MONDAY + WEEK, 50_000), (MONDAY - 5 * WEEK, 50_000)]) == 60_000


def test_a_stretch_is_live_only_where_its_edges_are_too() -> None:
    times = np.array([1_000, 2_000, 3_000], dtype=np.int64)

    assert arrivals.is_live(times, from_msc=500, to_msc=3_900, longest_ms=1_000)
    assert not arrivals.is_live(times, from_msc=500, to_msc=4_001, longest_ms=1_000)
    assert not arrivals.is_live(times, from_msc=3_001, to_msc=3_002, longest_ms=1_000)
