"""The checks of grids, bands, volumes, flags, runs and spikes, with expected values by hand."""

import numpy as np
import pytest

from quality import findings, inspection
from quality.checks import neighbours, prices, reverts, runs, tickflags, volumes
from quality.checks.neighbours import Outlier
from quality.inspection import Limits
from quality.rules import Thresholds
from tests.builders import NOON_MSC, make_batch, make_facts, make_ticks, make_trades
from tickhub.core import ticks as tick_arrays
from tickhub.core.batch import Batch
from tickhub.core.flags import INFORMATIONAL, Flag, FlagArray
from tickhub.core.ticks import Ticks

LIMITS = Limits(earliest_msc=631_152_000_000, future_tolerance_ms=0)
QUOTED, UNQUOTED = np.bool_(True), np.bool_(False)


def judge(ticks: Ticks, context: Ticks | None = None, **facts: object) -> FlagArray:
    batch = make_batch(ticks, context=context)
    return inspection.inspect(batch, facts={1: make_facts(**facts)}, limits=LIMITS)  # type: ignore[arg-type]  # as given


def places(flags: FlagArray, flag: Flag) -> list[int]:
    return np.flatnonzero(flags & flag).tolist()


def test_locked_marks_equal_sides_and_says_nothing_against_the_tick() -> None:
    ticks = make_ticks([(0, 1.1, 1.1), (1, 1.1, 1.2), (2, 0.0, 0.0)])

    assert prices.locked(ticks, is_quoted=QUOTED).tolist() == [True, False, False]
    assert prices.locked(ticks, is_quoted=UNQUOTED).tolist() == [False, False, False]
    assert Flag.LOCKED in INFORMATIONAL
    batch = make_batch(ticks[:1])
    flags = inspection.inspect(batch, facts={1: make_facts()}, limits=LIMITS)
    assert (flags.tolist(), findings.observe(batch, flags=flags)) == ([1 << 16], [])


def test_a_price_between_two_points_is_off_the_grid_and_the_error_of_a_double_is_not() -> None:
    # 1.1 + 0.2 is 1.3000000000000003: one unit in the last place above 1.3.
    ticks = make_ticks([(0, 1.1 + 0.2, 1.30001), (1, 1.300005, 1.30001), (2, 1.3, 1.3000100001), (3, 0.0, 1.3)])

    assert prices.off_grid(ticks, steps=np.float64(100_000)).tolist() == [False, True, True, False]
    assert prices.off_grid(ticks, steps=np.float64(0)).tolist() == [False] * 4


def test_the_last_price_has_a_grid_too_and_a_coarser_one_where_the_step_is_many_points() -> None:
    ticks = make_trades([(0, 100.25, 1), (1, 100.26, 1), (2, 100.255, 1)])

    assert prices.off_grid(ticks, steps=np.float64(100)).tolist() == [False, False, True]
    # A step of 25 points of 0.01.
    assert prices.off_grid(ticks, steps=np.float64(4)).tolist() == [False, True, True]


def test_a_price_beyond_the_band_is_marked_and_its_edges_belong_to_it() -> None:
    ticks = make_ticks([(0, 1.0, 1.2), (1, 0.99999, 1.1), (2, 1.1, 1.20001), (3, 0.0, 1.1)])

    marks = prices.outside_band(ticks, low=np.float64(1.0), high=np.float64(1.2))

    assert marks.tolist() == [False, True, True, False]


def test_a_band_is_off_unless_it_is_set() -> None:
    ticks = make_ticks([(0, 1.0, 1.2), (1, 0.1, 1.1)])
    band = {1: Thresholds(band_low_points=100_000, band_high_points=120_000)}
    limits = Limits(LIMITS.earliest_msc, 0, band)

    flags = inspection.inspect(make_batch(ticks), facts={1: make_facts()}, limits=limits)

    assert places(flags, Flag.OUTSIDE_BAND) == [1]
    assert places(judge(ticks), Flag.OUTSIDE_BAND) == []


def make_volumes(*pairs: tuple[int, float]) -> Ticks:
    ticks = make_trades([(place, 1.1, 1) for place in range(len(pairs))]).copy()
    ticks["volume"], ticks["volume_real"] = [whole for whole, _ in pairs], [real for _, real in pairs]
    return tick_arrays.freeze(ticks)


def test_a_volume_below_zero_or_two_volumes_that_cannot_be_one_are_bad() -> None:
    fine = make_volumes((1, 1.0), (1, 1.9), (2, 1.9), (3, 2.2), (0, 5.0), (5, 0.0), (0, -0.0))
    bad = make_volumes((2, 1.0), (1, 2.0), (0, -1.0))

    assert volumes.bad_volume(fine).tolist() == [False] * 7
    assert volumes.bad_volume(bad).tolist() == [True] * 3


def test_volumes_too_large_for_a_double_s_units_are_compared_as_near_as_it_can_tell() -> None:
    # 2^53 + 1 has no double: the nearest is 2^53.
    ticks = make_volumes(((1 << 53) + 1, 2.0**53), ((1 << 53) + 8, 2.0**53))

    assert volumes.bad_volume(ticks).tolist() == [False, True]


@pytest.mark.parametrize(
    ("flags", "last", "has_moved", "expected"),
    [
        (0, 0.0, True, True),  # a price moved, and nothing is told
        (0, 0.0, False, False),  # nothing told, nothing moved
        (1024, 0.0, True, True),  # undocumented bits tell nothing
        (1026, 0.0, True, False),
        (6, 0.0, False, False),  # flagged though unchanged: once in two hundred genuine ticks
        (8, 0.0, False, True),  # a trade without a price
        (24, 1.1, False, False),
        (30, 0.0, False, False),  # an export that fills every column with zeros
        (34, 1.1, False, True),  # bought, but nothing was traded
        (56, 1.1, False, False),
        (120, 1.1, False, False),  # direction unknown: both
    ],
)
def test_flags_that_contradict_the_prices_are_marked_and_no_others(
    flags: int, last: float, has_moved: bool, expected: bool
) -> None:
    ticks = make_trades([(0, last, 1)]).copy()
    ticks["flags"] = flags

    assert tickflags.flag_mismatch(ticks, has_moved=np.array([has_moved])).tolist() == [expected]


def test_the_first_tick_of_a_feed_has_no_price_that_it_moved_from() -> None:
    assert places(judge(make_ticks([(0, 1.1, 1.2), (1, 1.1, 1.3)], flags=0)), Flag.FLAG_MISMATCH) == [1]


def test_stuck_marks_from_the_65th_equal_tick_on_once_they_span_long_enough() -> None:
    # 70 equal ticks, 1,000 ms apart but for the last two: places 64 to 69 have 64 equal ticks before them.
    times = np.array([*range(0, 68_000, 1_000), 67_000, 67_001], dtype=np.int64)
    has_changed = np.array([True] + [False] * 69)

    marks = runs.stuck(times, has_changed, least_ms=np.int64(62_000))

    # Spans to the 64th predecessor: 64,000 ms up to place 67, then 67,000 - 4,000 and 67,001 - 5,000.
    assert np.flatnonzero(marks).tolist() == [64, 65, 66, 67, 68, 69]
    assert np.flatnonzero(runs.stuck(times, has_changed, least_ms=np.int64(63_000))).tolist() == [64, 65, 66, 67, 68]
    assert np.flatnonzero(runs.stuck(times, has_changed, least_ms=np.int64(0))).tolist() == [64, 65, 66, 67, 68, 69]
    has_changed[6] = True
    assert not runs.stuck(times, has_changed, least_ms=np.int64(0)).any()


def test_a_feed_is_stuck_by_quotes_and_not_by_trades_whose_volume_changes_nor_by_an_empty_book() -> None:
    quotes = make_ticks([(place * 1_000, 1.1, 1.2) for place in range(66)])
    same = make_trades([(place * 1_000, 1.1, 5) for place in range(66)])
    other = make_trades([(place * 1_000, 1.1, place % 2 + 1) for place in range(66)])
    empty = make_ticks([(place * 1_000, 0.0, 0.0) for place in range(66)])

    assert places(judge(quotes), Flag.STUCK) == [64, 65]
    assert places(judge(quotes[64:], context=quotes[:64]), Flag.STUCK) == [0, 1]
    assert places(judge(same, is_quoted=False), Flag.STUCK) == [64, 65]
    assert places(judge(other, is_quoted=False), Flag.STUCK) == []
    assert places(judge(empty), Flag.STUCK) == []


def test_one_feed_s_ticks_do_not_make_another_s_stuck() -> None:
    ticks = make_ticks([(place * 1_000, 1.1, 1.2) for place in range(66)])
    assert places(judge(ticks[60:], context=ticks[57:60]), Flag.STUCK) == []


def quiet(count: int) -> list[tuple[int, float, float]]:
    """A bid that alternates by one point under a spread of ten points."""
    return [(i * 100, 1.10000 + (i % 2) * 0.00001, 1.10010 + (i % 2) * 0.00001) for i in range(count)]


def with_tail(*bids: float) -> Ticks:
    return make_ticks([*quiet(40), *((4_000 + 100 * i, bid, bid + 0.0001) for i, bid in enumerate(bids))])


def test_the_tick_that_is_back_from_a_spike_is_marked_wherever_it_stands_among_three() -> None:
    # The level before is 1.10001; a quarter of the jump of 99 points may be left.
    assert places(judge(with_tail(1.101, 1.1)), Flag.REVERT) == [41]
    assert places(judge(with_tail(1.101, 1.101, 1.1)), Flag.REVERT) == [42]
    assert places(judge(with_tail(1.101, 1.101, 1.101, 1.1)), Flag.REVERT) == [43]
    assert places(judge(with_tail(1.101, 1.101, 1.101, 1.101, 1.1)), Flag.REVERT) == []


def test_a_level_that_stays_or_comes_back_by_half_did_not_revert() -> None:
    assert places(judge(with_tail(1.101, 1.101, 1.101)), Flag.REVERT) == []
    assert places(judge(with_tail(1.101, 1.1005)), Flag.REVERT) == []
    # 24 of 99 points are left, then 25.
    assert places(judge(with_tail(1.101, 1.10025)), Flag.REVERT) == [41]
    assert places(judge(with_tail(1.101, 1.10026)), Flag.REVERT) == []


def test_a_jump_is_judged_by_what_the_tick_that_is_back_may_see() -> None:
    # The level moved by 3,000 points into place 3: 63 moves before the jump into place 66, 64 before the tick back.
    rows = [(i * 100, bid := (1.13 if i >= 3 else 1.1) + i % 2 * 0.00001, bid + 0.0001) for i in range(66)]
    ticks = make_ticks([*rows, (6_600, 1.131, 1.1311), (6_700, 1.13001, 1.13011)])

    assert places(judge(ticks), Flag.REVERT) == [67]
    assert places(judge(ticks[67:], context=ticks[3:67]), Flag.REVERT) == [0]


def test_only_the_first_tick_that_is_back_is_marked() -> None:
    assert places(judge(with_tail(1.101, 1.1, 1.1, 1.1)), Flag.REVERT) == [41]


def test_no_percent_left_means_the_very_level_and_a_negative_one_finds_nothing() -> None:
    price = np.array([*([100, 101] * 20), 300, 101, 102], dtype=np.int64)
    start = np.zeros(len(price), dtype=np.int64)
    valid = np.ones(len(price), dtype=bool)

    def found(percent: int, last: int = 101) -> list[int]:
        price[41] = last
        rule = Outlier(factor=25, floor_points=20)
        moved = neighbours.moves(price, valid, start=start, rule=rule)
        return reverts.find(moved, price, valid, start=start, percent=np.int64(percent)).place.tolist()

    assert (found(0), found(0, last=103), found(-1)) == ([41], [], [])


def test_the_finding_of_a_spike_names_its_key_in_the_batch_or_its_time_in_the_context() -> None:
    ticks = with_tail(1.101, 1.1)
    whole, cut = make_batch(ticks), make_batch(ticks[41:], context=ticks[:41])

    def spike(batch: Batch) -> dict[str, object]:
        judged = inspection.judge(batch, facts={1: make_facts()}, limits=LIMITS)
        told = findings.observe(batch, flags=judged.flags, spikes=judged.spikes)
        return next(o.evidence["spike"] for o in told if o.cause == "REVERT")

    values = {"bid": "1.101", "ask": "1.1011", "last": "0.0"}
    assert spike(whole) == {"key": {"time_msc": NOON_MSC + 4_000, "seq": 0}, "values": values}
    assert spike(cut) == {"key": {"time_msc": NOON_MSC + 4_000}, "values": values}


def test_thresholds_of_each_feed_of_a_batch_are_its_own_and_zero_means_zero() -> None:
    # Mean move one point: the bound of 45 points becomes none at all for a factor and floor of 0.
    ticks = make_ticks([*quiet(40), (4_000, 1.1, 1.1001)])
    strict = {1: Thresholds(jump_factor=0, jump_floor_points=0)}

    flags = inspection.inspect(make_batch(ticks), facts={1: make_facts()}, limits=Limits(0, 0, strict))

    # The first tick with 32 changes before it is the 34th.
    assert places(flags, Flag.JUMP_OUTLIER) == list(range(33, 41))
    off = {1: Thresholds(jump_factor=None)}
    wild = make_ticks([*quiet(40), (4_000, 2.0, 2.1)])
    assert places(judge(wild), Flag.JUMP_OUTLIER) == [40]
    flags = inspection.inspect(make_batch(wild), facts={1: make_facts()}, limits=Limits(0, 0, off))
    assert places(flags, Flag.JUMP_OUTLIER) == []


@pytest.mark.parametrize(("stale_ms", "expected"), [(None, [0, 0, 0]), (1_000, [1, 0, 0]), (0, [1, 1, 0])])
def test_a_tick_is_stale_that_is_older_at_its_poll_than_may_be(stale_ms: int | None, expected: list[int]) -> None:
    ticks = make_ticks([(0, 1.1, 1.2), (1, 1.1, 1.2), (1_001, 1.1, 1.2)])
    limits = Limits(0, 1_000, thresholds={1: Thresholds(stale_ms=stale_ms)})

    found = inspection.inspect(make_batch(ticks, poll_msc=NOON_MSC + 1_001), facts={1: make_facts()}, limits=limits)

    assert ((found & int(Flag.STALE)) != 0).astype(int).tolist() == expected
