"""A check over its time leaves all of its marks out, and those behind it; none that holds a tick is ever left out."""

from collections.abc import Callable, Iterator

from quality import inspection
from quality.budget import Budget
from quality.inspection import Judgement, Limits
from tests.builders import NOON_MSC, make_batch, make_facts, make_ticks
from tickhub.core import flags
from tickhub.core.flags import Flag
from tickhub.core.ticks import Ticks

NAN = float("nan")
# The second is crossed, the third locked and repeated off the grid of five digits, the fourth no number.
DIRTY = make_ticks([(0, 1.1, 1.2), (1, 1.3, 1.2), (2, 1.100001, 1.100001), (3, NAN, 1.2)])


def readings(steps_ms: list[float]) -> Callable[[], float]:
    """A clock that is read twice for each check: so many milliseconds pass in the checks that follow one another."""

    def read() -> Iterator[float]:
        now_s = 0.0
        for step_ms in steps_ms:
            yield now_s
            now_s += step_ms / 1000
            yield now_s
        while True:
            yield now_s

    return read().__next__


def judge(ticks: Ticks, *, steps_ms: list[float], check_ms: int = 50) -> Judgement:
    limits = Limits(0, 1_000, budget=Budget(check_ms, readings(steps_ms)))
    return inspection.judge(make_batch(ticks, poll_msc=NOON_MSC + 10), facts={1: make_facts()}, limits=limits)


def names(found: Judgement) -> list[tuple[str, ...]]:
    return [flags.names(value) for value in found.flags.tolist()]


def test_checks_within_their_time_mark_as_without_a_budget() -> None:
    found = judge(DIRTY, steps_ms=[49.9] * 30)

    assert names(found) == [(), ("CROSSED",), ("LOCKED", "OFF_GRID"), ("NOT_FINITE",)]
    assert found.left_out == {}


def test_a_slow_check_and_those_behind_it_are_left_out_and_named() -> None:
    # The checks run as inspection lists them: six of one tick's prices, of which the sixth is CROSSED.
    found = judge(DIRTY, steps_ms=[1.0] * 5 + [50.1])

    assert names(found) == [("UNJUDGED",), ("UNJUDGED",), ("UNJUDGED",), ("NOT_FINITE", "UNJUDGED")]
    assert found.left_out[Flag.CROSSED] == 50
    not_run = set(found.left_out) - {Flag.CROSSED}
    assert not_run == {
        Flag.LOCKED,
        Flag.OFF_GRID,
        Flag.OUTSIDE_BAND,
        Flag.BAD_VOLUME,
        Flag.REPEAT,
        Flag.FLAG_MISMATCH,
        Flag.STUCK,
        Flag.SPREAD_OUTLIER,
        Flag.JUMP_OUTLIER,
        Flag.REVERT,
        Flag.OUT_OF_SESSION,
    }
    assert {found.left_out[flag] for flag in not_run} == {None}


def test_a_check_that_holds_ticks_is_never_left_out_however_slow() -> None:
    found = judge(DIRTY, steps_ms=[60_000.0])

    assert flags.names(int(found.flags[3])) == ("NOT_FINITE", "UNJUDGED")
    assert Flag.NOT_FINITE not in found.left_out
    assert Flag.NO_BID in found.left_out


def test_what_only_the_poll_knows_is_marked_behind_a_slow_check() -> None:
    ahead = make_ticks([(0, 1.1, 1.2), (60_000, 1.1, 1.2)])

    found = judge(ahead, steps_ms=[60_000.0])

    assert names(found) == [("UNJUDGED",), ("FUTURE", "UNJUDGED")]


def test_no_revert_is_told_where_its_check_is_left_out() -> None:
    spike = [(i, 1.1, 1.1002) for i in range(40)] + [(40, 1.5, 1.5002), (41, 1.1, 1.1002)]

    whole = judge(make_ticks(spike), steps_ms=[])
    late = judge(make_ticks(spike), steps_ms=[1.0] * 15 + [51.0])

    assert whole.spikes == {41: 1}
    assert late.spikes == {}
    assert Flag.REVERT in late.left_out
