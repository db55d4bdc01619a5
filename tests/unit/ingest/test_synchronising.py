"""A history that is still being fetched is not captured until it is whole."""

import pytest

from ingest import synchronising
from ingest.feedstate import FeedState
from ingest.sources.simulator import Listing, SimulatedTerminal
from ingest.sources.tape import RecordingTape
from ingest.synchronising import Synchroniser
from ingest.tail import Tail
from tests.builders import NOON_MSC, make_ticks
from tickhub.core import clock
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Ticks

NOON_S = NOON_MSC // 1000
NOW_MSC = NOON_MSC + 60_500
# Ten rows in a minute: a share of them stays the same for a while.
TAPE = make_ticks([(second * 6_000, 1.0 + second, 2.0 + second) for second in range(10)])


def terminal(tape: Ticks = TAPE) -> SimulatedTerminal:
    simulated = SimulatedTerminal({"EURUSD": Listing(RecordingTape(tape))}, now_msc=lambda: NOW_MSC)
    simulated.initialize()
    simulated.symbol_select("EURUSD")
    return simulated


def state(captured: Ticks | None = None, *, tail_from_msc: int = NOON_MSC) -> FeedState:
    rows = tick_arrays.empty() if captured is None else captured
    return FeedState(1, "EURUSD", NOON_MSC, None, Tail(captured=rows, context=rows, complete_from_msc=tail_from_msc))


def agree(simulated: SimulatedTerminal, feed: FeedState, *, within_s: float = 10) -> int:
    """Ask until the symbol is agreed on; return how many rows the terminal then shows."""
    synchroniser = Synchroniser(terminal=simulated)
    assert synchroniser.has_changed(1)
    deadline_s = clock.monotonic_s() + within_s
    while not synchroniser.is_agreed(feed, now_msc=NOW_MSC):
        assert synchroniser.is_waiting
        assert clock.monotonic_s() < deadline_s
        clock.sleep(0.01)
    assert not synchroniser.is_waiting
    ticks = simulated.copy_ticks_from("EURUSD", NOON_S, 100, simulated.COPY_TICKS_ALL)
    return -1 if ticks is None else len(ticks)


def test_two_equal_reads_of_a_part_are_not_taken_for_the_whole() -> None:
    simulated = terminal()
    # 0.3 s for each row: reads 0.25 s apart do agree on the way.
    simulated.unsynchronise(3_000)

    assert agree(simulated, state()) == 10


def test_history_that_lacks_captured_rows_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synchronising, "MOST_S", 0.6)
    earlier = make_ticks([(1, 5.0, 5.1)])
    started_s = clock.monotonic_s()

    agree(terminal(), state(captured=tick_arrays.join([earlier, TAPE])))

    # Rows that the broker took back for good: captured as it is shown, once the patience is over.
    assert clock.monotonic_s() - started_s >= 0.6


def test_quiet_history_is_agreed_where_the_tail_begins_within_a_second() -> None:
    shown = make_ticks([(700, 1.0, 1.1), (6_000, 2.0, 2.1)])

    assert agree(terminal(shown), state(shown, tail_from_msc=NOON_MSC + 500), within_s=5) == 2


def test_source_without_a_history_of_its_own_is_agreed_at_once() -> None:
    synchroniser = Synchroniser(terminal=terminal())

    assert not synchroniser.has_changed(0)
    assert synchroniser.is_agreed(state(), now_msc=NOW_MSC)


def test_new_connection_asks_anew() -> None:
    simulated = terminal()
    synchroniser = Synchroniser(terminal=simulated)
    assert synchroniser.has_changed(1)
    while not synchroniser.is_agreed(state(), now_msc=NOW_MSC):
        clock.sleep(0.01)

    assert not synchroniser.has_changed(1)
    assert synchroniser.has_changed(2)
    assert not synchroniser.is_agreed(state(), now_msc=NOW_MSC)


def test_read_that_fails_leaves_the_error_to_the_poll() -> None:
    simulated = terminal()
    simulated.break_ipc()
    synchroniser = Synchroniser(terminal=simulated)
    synchroniser.has_changed(1)

    assert synchroniser.is_agreed(state(), now_msc=NOW_MSC)
    assert not synchroniser.is_waiting
    simulated.initialize()
    simulated.symbol_select("EURUSD")
    assert not synchroniser.is_agreed(state(), now_msc=NOW_MSC)
