"""Tapes: which rows of a recording are visible when, and in which order."""

import numpy as np

from ingest.sources.market import Market
from ingest.sources.tape import GeneratedTape, RecordingTape
from tests.builders import NOON_MSC, make_ticks
from tickhub.core.ticks import Ticks

# In order of arrival, ms after noon: the row of 2 arrives behind that of 5, that of 9 before that of 7.
LATE = make_ticks([(0, 1.0, 1.0), (5, 2.0, 2.0), (2, 3.0, 3.0), (9, 4.0, 4.0), (7, 5.0, 5.0), (9, 6.0, 6.0)])


def bids(ticks: Ticks) -> list[float]:
    values: list[float] = ticks["bid"].tolist()
    return values


def test_recording_shows_a_row_from_its_own_time_on() -> None:
    tape = RecordingTape(make_ticks([(0, 1.0, 1.0), (3, 2.0, 2.0), (3, 3.0, 3.0), (4, 4.0, 4.0)]))

    assert bids(tape.forward(NOON_MSC, 10, NOON_MSC - 1)) == []
    assert bids(tape.forward(NOON_MSC, 10, NOON_MSC + 2)) == [1.0]
    assert bids(tape.forward(NOON_MSC, 10, NOON_MSC + 3)) == [1.0, 2.0, 3.0]


def test_forward_cuts_at_the_count_and_starts_at_the_time() -> None:
    tape = RecordingTape(make_ticks([(0, 1.0, 1.0), (3, 2.0, 2.0), (3, 3.0, 3.0), (4, 4.0, 4.0)]))

    assert bids(tape.forward(NOON_MSC + 1, 2, NOON_MSC + 9)) == [2.0, 3.0]


def test_between_includes_both_ends() -> None:
    tape = RecordingTape(make_ticks([(0, 1.0, 1.0), (3, 2.0, 2.0), (3, 3.0, 3.0), (4, 4.0, 4.0)]))

    assert bids(tape.between(NOON_MSC, NOON_MSC + 3, NOON_MSC + 9)) == [1.0, 2.0, 3.0]


def test_late_row_is_inserted_into_the_history_when_the_row_before_it_is_shown() -> None:
    tape = RecordingTape(LATE)

    assert bids(tape.forward(NOON_MSC, 10, NOON_MSC + 4)) == [1.0]
    assert bids(tape.forward(NOON_MSC, 10, NOON_MSC + 5)) == [1.0, 3.0, 2.0]


def test_history_is_stably_sorted_by_time() -> None:
    tape = RecordingTape(LATE)

    assert bids(tape.forward(NOON_MSC, 10, NOON_MSC + 9)) == [1.0, 3.0, 2.0, 5.0, 4.0, 6.0]
    assert bids(tape.between(NOON_MSC + 7, NOON_MSC + 9, NOON_MSC + 9)) == [5.0, 4.0, 6.0]


def test_latest_is_the_last_row_of_the_visible_history() -> None:
    tape = RecordingTape(LATE)

    assert bids(tape.latest(NOON_MSC - 1)) == []
    assert bids(tape.latest(NOON_MSC + 8)) == [2.0]
    assert bids(tape.latest(NOON_MSC + 9)) == [6.0]


def test_recording_tells_its_earliest_time_even_where_that_row_is_late() -> None:
    tape = RecordingTape(make_ticks([(5, 1.0, 1.0), (2, 2.0, 2.0)]))

    assert tape.first_msc == NOON_MSC + 2
    assert tape.count_shown(NOON_MSC + 4) == 0
    assert tape.count_shown(NOON_MSC + 5) == 2


def test_answers_are_arrays_of_their_own() -> None:
    tape = RecordingTape(LATE)

    answer = tape.forward(NOON_MSC, 10, NOON_MSC + 9)
    answer["bid"] = 0.0

    assert bids(tape.forward(NOON_MSC, 1, NOON_MSC + 9)) == [1.0]


def test_generated_tape_ends_now() -> None:
    tape = GeneratedTape(Market(symbol="EURUSD", symbols=("EURUSD",), rate=100, seed=1))

    ticks = tape.forward(NOON_MSC, 1_000_000, NOON_MSC + 2_500)

    assert ticks["time_msc"].min() >= NOON_MSC
    assert NOON_MSC + 2_400 < ticks["time_msc"].max() <= NOON_MSC + 2_500


def test_generated_tape_pages_are_the_beginning_of_the_whole() -> None:
    tape = GeneratedTape(Market(symbol="EURUSD", symbols=("EURUSD",), rate=100, seed=1))
    whole = tape.between(NOON_MSC, NOON_MSC + 60_000, NOON_MSC + 60_000)

    for count in (1, 99, 1_000, 3_000):
        page = tape.forward(NOON_MSC, count, NOON_MSC + 60_000)
        assert page.tobytes() == whole[:count].tobytes()


def test_newest_tick_of_a_slow_market_is_found_minutes_back() -> None:
    market = Market(symbol="EURUSD", symbols=("EURUSD",), rate=0.01, seed=1)
    tape = GeneratedTape(market)
    hour = market.ticks_between(NOON_MSC - 3_600_000, NOON_MSC + 1)

    newest = tape.latest(NOON_MSC)

    assert len(hour) > 10
    assert np.array_equal(newest, hour[-1:])
