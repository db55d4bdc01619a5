"""What a poller remembers of minutes captured."""

from ingest.minutes import Minutes
from tests.builders import NOON_MSC, make_ticks
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Ticks

MINUTE_MS = 60_000


def quotes(*seconds: float) -> Ticks:
    return make_ticks([(int(second * 1000), 1.1, 1.2) for second in seconds])


def is_all(minutes: Minutes, shown: Ticks, start: int, end: int) -> bool:
    return minutes.is_all(shown, start_msc=NOON_MSC + start * MINUTE_MS, end_msc=NOON_MSC + end * MINUTE_MS)


def test_rows_that_were_added_in_any_order_are_all() -> None:
    minutes = Minutes(complete_from_msc=NOON_MSC)
    minutes.add(quotes(1, 61))
    minutes.add(quotes(30))

    assert is_all(minutes, quotes(1, 30, 61), 0, 2)
    assert is_all(minutes, quotes(61), 1, 2)


def test_a_row_more_or_less_is_not_all() -> None:
    minutes = Minutes(complete_from_msc=NOON_MSC)
    minutes.add(quotes(1, 61))

    assert not is_all(minutes, quotes(1, 30, 61), 0, 2)
    assert not is_all(minutes, quotes(1), 0, 2)


def test_a_minute_without_rows_is_all_of_nothing() -> None:
    assert is_all(Minutes(complete_from_msc=NOON_MSC), tick_arrays.empty(), 0, 5)


def test_nothing_is_known_of_what_was_captured_before() -> None:
    minutes = Minutes(complete_from_msc=NOON_MSC + 1)
    minutes.add(quotes(1, 61))

    assert not is_all(minutes, quotes(1), 0, 1)
    assert is_all(minutes, quotes(61), 1, 2)


def test_a_stretch_that_is_not_of_whole_minutes_is_not_known() -> None:
    minutes = Minutes(complete_from_msc=NOON_MSC)
    minutes.add(quotes(1))

    assert not minutes.is_all(quotes(1), start_msc=NOON_MSC, end_msc=NOON_MSC + 30_000)


def test_old_minutes_are_forgotten_and_then_not_known() -> None:
    minutes = Minutes(complete_from_msc=NOON_MSC)
    minutes.add(quotes(1))
    minutes.add(quotes(7 * 3600))

    assert not is_all(minutes, quotes(1), 0, 1)
    assert is_all(minutes, quotes(7 * 3600), 7 * 60, 7 * 60 + 1)
