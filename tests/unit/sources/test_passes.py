"""The passes of a repeated hour, on rows written by hand for a clock that is set back at 06:00 UTC."""

import datetime as dt

import numpy as np

from ingest.sources import passes
from tickhub.core import zones
from tickhub.core.clock import HOUR_MS
from tickhub.core.ticks import Int64s
from tickhub.core.zones import Epochs

MINUTE_MS = 60_000
SWITCH_MSC = int(dt.datetime(2026, 11, 1, 6, tzinfo=dt.UTC).timestamp() * 1000)


def clock(before_hours: int, after_hours: int) -> Epochs:
    return zones.epochs_of([(1, 0, before_hours * HOUR_MS), (2, SWITCH_MSC, after_hours * HOUR_MS)])


def wall(*minutes_after_eight: int) -> Int64s:
    """Wall clock by minutes after 08:00, where the repeated hour begins."""
    return np.array([SWITCH_MSC + 2 * HOUR_MS + minute * MINUTE_MS for minute in minutes_after_eight], dtype=np.int64)


def utc_minutes(wall_msc: Int64s, epochs: Epochs) -> list[int]:
    return ((passes.to_utc(wall_msc, epochs) - SWITCH_MSC) // MINUTE_MS).tolist()


def test_a_step_back_at_the_switch_begins_the_second_pass() -> None:
    found = utc_minutes(wall(-10, 5, 55, 3, 50, 70), clock(3, 2))

    assert found == [-70, -55, -5, 3, 50, 70]


def test_a_small_step_back_in_the_first_pass_is_a_late_row() -> None:
    assert utc_minutes(wall(30, 10, 40), clock(3, 2)) == [-30, -50, -20]


def test_a_small_step_back_in_the_second_pass_stays_in_it() -> None:
    assert utc_minutes(wall(50, 5, 30, 10), clock(3, 2)) == [-10, 5, 30, 10]


def test_a_step_back_elsewhere_says_nothing_of_the_clock() -> None:
    assert utc_minutes(wall(-120, -200, -100), clock(3, 2)) == [-180, -260, -160]


def test_a_clock_set_forward_moves_the_rows_after_the_switch() -> None:
    # 06:00 UTC is 08:00 before and 09:00 after it; 08:30 does not exist and keeps the old offset.
    assert utc_minutes(wall(-1, 60, 30), clock(2, 3)) == [-1, 0, 30]


def test_no_rows_are_no_rows() -> None:
    assert passes.to_utc(wall(), clock(3, 2)).tolist() == []
