"""The checks, with expected values by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality import inspection
from quality.checks import neighbours, prices, times
from quality.inspection import Limits
from quality.rules import Thresholds
from tests.builders import NOON_MSC, make_batch, make_facts, make_ticks, make_trades
from tickhub.core import ticks as tick_arrays
from tickhub.core.flags import Flag

LIMITS = Limits(earliest_msc=631_152_000_000, future_tolerance_ms=0)


def all_of(ticks: np.ndarray, value: bool) -> np.ndarray:
    return np.full(len(ticks), value)


def test_not_finite_marks_nan_and_infinity_only() -> None:
    ticks = make_ticks([(0, float("nan"), 1.2), (1, 1.1, float("inf")), (2, 1e308, 1e308), (3, 1.1, 1.2)])

    assert prices.not_finite(ticks).tolist() == [True, True, False, False]


def test_negative_prices_are_marked_unless_the_instrument_has_them() -> None:
    ticks = make_ticks([(0, -1.0, 1.2), (1, 1.1, 1.2)])

    assert prices.negative(ticks, allowed=all_of(ticks, False)).tolist() == [True, False]
    assert prices.negative(ticks, allowed=all_of(ticks, True)).tolist() == [False, False]


def test_a_missing_side_matters_only_where_the_price_basis_uses_it() -> None:
    quote, trade = make_ticks([(0, 0.0, 1.2)]), make_trades([(0, 0.0, 1)])

    assert prices.no_bid(quote, is_quoted=all_of(quote, True)).tolist() == [True]
    assert prices.no_ask(quote, is_quoted=all_of(quote, True)).tolist() == [False]
    assert prices.no_bid(trade, is_quoted=all_of(trade, False)).tolist() == [False]
    assert prices.no_last(trade, is_quoted=all_of(trade, False)).tolist() == [True]


def test_crossed_marks_only_the_tick_whose_bid_is_above_its_ask() -> None:
    ticks = make_ticks([(1, 1.10, 1.20), (2, 1.30, 1.20), (3, 1.20, 1.20), (4, 1.20, 0.0)])

    assert prices.crossed(ticks).tolist() == [False, True, False, False]


def test_unstorable_marks_what_no_column_can_give_back() -> None:
    ticks = make_ticks([(0, 1.1, 1.2)] * 4).copy()
    ticks["flags"][0] = 1 << 31
    ticks["volume"][1] = 1 << 63
    ticks["time"][2] += 1

    assert prices.unstorable(ticks, seq=np.zeros(4, dtype=np.int16)).tolist() == [True, True, True, False]


def test_a_future_tolerance_of_zero_is_none() -> None:
    ticks = make_ticks([(0, 1.1, 1.2), (1, 1.1, 1.2)])

    assert times.future(ticks, poll_msc=NOON_MSC, tolerance_ms=0).tolist() == [False, True]


def test_a_day_outside_the_window_is_implausible() -> None:
    ticks = make_ticks([(-1, 1.1, 1.2), (0, 1.1, 1.2), (10, 1.1, 1.2)])

    marks = times.implausible_day(ticks, earliest_msc=NOON_MSC, latest_msc=NOON_MSC + 10)

    assert marks.tolist() == [True, False, True]


def test_repeat_marks_the_second_of_two_equal_ticks() -> None:
    ticks = make_ticks([(0, 1.1, 1.2), (0, 1.1, 1.2), (0, 1.1, 1.3), (1, 1.1, 1.3)])

    assert neighbours.repeat(ticks, start=np.zeros(4, dtype=np.int64)).tolist() == [False, True, False, False]


def quiet_market(count: int) -> list[tuple[int, float, float]]:
    """A bid that alternates by one point under a spread of ten points."""
    return [(i * 100, 1.10000 + (i % 2) * 0.00001, 1.10010 + (i % 2) * 0.00001) for i in range(count)]


def test_a_spread_far_above_its_predecessors_is_an_outlier() -> None:
    # Mean spread 10 points, so the bound is 10 * 10 + 20 = 120 points.
    ticks = make_ticks([*quiet_market(40), (4000, 1.10000, 1.10120), (4100, 1.10000, 1.10121)])
    flags = inspection.inspect(make_batch(ticks), facts={1: make_facts()}, limits=LIMITS)

    marked = np.flatnonzero(flags & Flag.SPREAD_OUTLIER).tolist()

    assert marked == []
    wider = make_ticks([*quiet_market(40), (4000, 1.10000, 1.10121)])
    flags = inspection.inspect(make_batch(wider), facts={1: make_facts()}, limits=LIMITS)
    assert np.flatnonzero(flags & Flag.SPREAD_OUTLIER).tolist() == [40]


def test_a_jump_far_above_earlier_moves_is_an_outlier() -> None:
    # Every move is one point, so the bound is 25 * 1 + 20 = 45 points.
    ticks = make_ticks([*quiet_market(40), (4000, 1.10046, 1.10056)])
    flags = inspection.inspect(make_batch(ticks), facts={1: make_facts()}, limits=LIMITS)
    assert np.flatnonzero(flags & Flag.JUMP_OUTLIER).tolist() == []

    ticks = make_ticks([*quiet_market(40), (4000, 1.10047, 1.10057)])
    flags = inspection.inspect(make_batch(ticks), facts={1: make_facts()}, limits=LIMITS)
    assert np.flatnonzero(flags & Flag.JUMP_OUTLIER).tolist() == [40]


def test_no_outlier_is_found_before_there_are_enough_predecessors() -> None:
    ticks = make_ticks([*quiet_market(31), (4000, 1.5, 1.6)])
    flags = inspection.inspect(make_batch(ticks), facts={1: make_facts()}, limits=LIMITS)

    assert not (flags & (Flag.SPREAD_OUTLIER | Flag.JUMP_OUTLIER)).any()
    # With 32 before it, of which the first has no move yet.
    ticks = make_ticks([*quiet_market(32), (4000, 1.5, 1.6)])
    flags = inspection.inspect(make_batch(ticks), facts={1: make_facts()}, limits=LIMITS)
    assert np.flatnonzero(flags & Flag.SPREAD_OUTLIER).tolist() == [32]
    assert not (flags & Flag.JUMP_OUTLIER).any()


@pytest.mark.parametrize("count", [0, 1])
def test_every_check_works_on_no_tick_and_on_one(count: int) -> None:
    batch = make_batch(make_ticks([(0, 1.1, 1.2)][:count]))

    assert inspection.inspect(batch, facts={1: make_facts()}, limits=LIMITS).tolist() == [0] * count


def test_a_check_that_raises_is_named_and_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(ticks: np.ndarray) -> np.ndarray:
        msg = "no such luck"
        raise ArithmeticError(msg)

    monkeypatch.setattr(prices, "crossed", broken)

    with pytest.raises(inspection.CheckFailed, match="batch 1: check CROSSED raised ArithmeticError: no such luck"):
        inspection.inspect(make_batch(make_ticks([(0, 1.1, 1.2)])), facts={1: make_facts()}, limits=LIMITS)


def wild_market(seed: int, count: int) -> np.ndarray:
    """A market with repeats, missing sides, crossed and locked quotes, jumps, wide spreads and wrong flags.

    It ends with a stuck stretch, a price off the grid and a spike.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, float, float]] = []
    for i in range(count):
        bid = round(1.1 + rng.normal(0, 0.00002) + (0.01 if rng.random() < 0.01 else 0), 5)
        ask = round(bid + rng.integers(-2, 10) * 0.00001 + (0.02 if rng.random() < 0.01 else 0), 5)
        rows.append((int(i // 2 * 50), 0.0 if rng.random() < 0.02 else bid, ask))
        if rng.random() < 0.05:
            rows.append(rows[-1])
    more = [(1.1, 1.10002)] * 72 + [(1.100005, 1.1001)]
    more += [(1.2, 1.20001) if i == 38 else (1.1, 1.10001 + i % 2 * 0.00001) for i in range(42)]
    rows += [(rows[-1][0] + 50 * (i + 1), *sides) for i, sides in enumerate(more)]
    ticks = make_ticks(rows).copy()
    ticks["flags"][rng.random(len(ticks)) < 0.03] = 0
    return tick_arrays.freeze(ticks)


THRESHOLDS = {1: Thresholds(stuck_ms=1_000, band_high_points=115_000)}
STRICT = Limits(earliest_msc=631_152_000_000, future_tolerance_ms=0, thresholds=THRESHOLDS)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 5), cuts=st.lists(st.integers(0, 400), max_size=8))
def test_cutting_a_capture_anywhere_gives_the_same_flags(seed: int, cuts: list[int]) -> None:
    ticks = wild_market(seed, 250)
    poll_msc = int(ticks["time_msc"][-1])
    whole = inspection.inspect(make_batch(ticks, poll_msc=poll_msc), facts={1: make_facts()}, limits=STRICT)

    bounds = [0, *sorted(min(cut, len(ticks)) for cut in cuts), len(ticks)]
    pieces = []
    for start, end in itertools.pairwise(bounds):
        context = ticks[max(0, start - 64) : start]
        batch = make_batch(ticks[start:end], context=context, poll_msc=poll_msc)
        pieces.append(inspection.inspect(batch, facts={1: make_facts()}, limits=STRICT))

    assert np.concatenate(pieces).tolist() == whole.tolist()


RAISED = {
    *(Flag.JUMP_OUTLIER, Flag.SPREAD_OUTLIER, Flag.REPEAT, Flag.CROSSED, Flag.NO_BID, Flag.LOCKED, Flag.REVERT),
    *(Flag.STUCK, Flag.OFF_GRID, Flag.FLAG_MISMATCH, Flag.OUTSIDE_BAND),
}


@pytest.mark.parametrize("seed", range(6))
def test_the_wild_market_raises_every_flag_that_looks_back(seed: int) -> None:
    ticks = wild_market(seed, 250)

    flags = inspection.inspect(make_batch(ticks), facts={1: make_facts()}, limits=STRICT)

    assert {flag for flag in RAISED if not (flags & flag).any()} == set()
