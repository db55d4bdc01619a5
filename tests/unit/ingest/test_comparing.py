"""What a terminal shows against what was captured, as multisets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest import comparing
from ingest.tail import Tail
from tests.builders import NOON_MSC, make_ticks
from tickhub.core import ticks as tick_arrays

SECOND = NOON_MSC // 1000


def test_rows_behind_the_captured_ones_are_new() -> None:
    shown = make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.3), (5, 1.1, 1.4)])

    result = comparing.compare(shown[:2], shown)

    assert result.is_new.tolist() == [False, False, True]
    assert not result.is_gone.any()


def test_a_second_identical_tick_of_a_millisecond_is_new() -> None:
    one = make_ticks([(0, 1.1, 1.2), (7, 1.5, 1.6)])
    two = make_ticks([(0, 1.1, 1.2), (0, 1.1, 1.2), (7, 1.5, 1.6)])

    result = comparing.compare(one, two)

    assert result.is_new.tolist() == [False, True, False]


def test_a_tick_that_the_terminal_no_longer_shows_is_gone() -> None:
    captured = make_ticks([(0, 1.1, 1.2), (1, 1.1, 1.3)])
    shown = make_ticks([(0, 1.1, 1.2), (2, 1.1, 1.4)])

    result = comparing.compare(captured, shown)

    assert result.is_gone.tolist() == [False, True]
    assert result.is_new.tolist() == [False, True]


def test_the_next_seq_counts_what_is_captured_in_the_millisecond() -> None:
    captured = np.array([10, 10, 12])
    new = np.array([9, 10, 10, 12])

    assert comparing.next_seqs(new, captured).tolist() == [0, 2, 3, 1]


def test_a_late_row_before_the_cursor_is_found_by_the_tail() -> None:
    tail = Tail(
        captured=make_ticks([(0, 1.1, 1.2), (500, 1.2, 1.3)]), context=tick_arrays.empty(), complete_from_msc=NOON_MSC
    )
    seen = make_ticks([(0, 1.1, 1.2), (0, 9.0, 9.1), (500, 1.2, 1.3), (600, 1.2, 1.4)])

    reading = tail.compare(seen, from_second=SECOND, is_cut=False)

    assert reading.new["time_msc"].tolist() == [NOON_MSC, NOON_MSC + 600]
    assert reading.seq.tolist() == [1, 0]


def test_a_tick_that_vanishes_and_comes_back_is_captured_once() -> None:
    tail = Tail(captured=make_ticks([(0, 1.1, 1.2), (1, 1.1, 1.3)]), context=tick_arrays.empty(), complete_from_msc=0)
    without = tail.compare(make_ticks([(0, 1.1, 1.2)]), from_second=SECOND, is_cut=False)
    tail.advance(without, keep_from_msc=0)

    back = tail.compare(make_ticks([(0, 1.1, 1.2), (1, 1.1, 1.3)]), from_second=SECOND, is_cut=False)

    assert len(without.gone) == 1
    assert len(back.new) == 0


def test_a_vanished_tick_is_told_once_and_keeps_its_seq() -> None:
    tail = Tail(captured=make_ticks([(1, 1.1, 1.2), (1, 1.1, 1.3)]), context=tick_arrays.empty(), complete_from_msc=0)
    tail.advance(tail.compare(make_ticks([(1, 1.1, 1.2)]), from_second=SECOND, is_cut=False), keep_from_msc=0)

    again = tail.compare(make_ticks([(1, 1.1, 1.2), (1, 5.0, 5.1)]), from_second=SECOND, is_cut=False)

    assert len(again.gone) == 0
    assert again.seq.tolist() == [2]


def test_rows_behind_a_cut_page_are_not_missed() -> None:
    captured = make_ticks([(0, 1.1, 1.2), (1, 1.1, 1.3), (2, 1.1, 1.4)])
    tail = Tail(captured=captured, context=tick_arrays.empty(), complete_from_msc=0)

    reading = tail.compare(captured[:2], from_second=SECOND, is_cut=True)
    tail.advance(reading, keep_from_msc=0)

    assert len(reading.gone) == 0
    assert tick_arrays.same(tail.rows, captured)


@given(
    values=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([1.1, 1.2, 1.3])), max_size=40),
    picks=st.data(),
)
def test_any_part_of_a_history_is_completed_to_the_whole(values: list[tuple[int, float]], picks: st.DataObject) -> None:
    rows = sorted(values, key=lambda row: row[0])
    shown = make_ticks([(ms, bid, bid + 0.1) for ms, bid in rows])
    keep = np.array(picks.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), dtype=bool)

    result = comparing.compare(shown[keep], shown)

    whole = np.concatenate([shown[keep], shown[result.is_new]])
    assert sorted(whole.tolist()) == sorted(shown.tolist())
