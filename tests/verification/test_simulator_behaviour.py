"""The simulated terminal behaves as MT5.md records of the real one: failures, dates, paging, links that break."""

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from ingest.sources.simulator import Listing, SimulatedTerminal
from ingest.sources.tape import RecordingTape
from tests.builders import NOON_MSC, make_ticks, make_trades
from tickhub.core.ticks import Ticks

NOON_S = NOON_MSC // 1000
ALL = SimulatedTerminal.COPY_TICKS_ALL
# ms after noon; the late row of 400 arrives behind that of 1,500.
ROWS = [(0, 1.0, 1.1), (999, 2.0, 2.1), (1_000, 3.0, 3.1), (1_500, 4.0, 4.1), (400, 5.0, 5.1), (2_000, 6.0, 6.1)]


class Clock:
    """The terminal's clock, set by the test."""

    def __init__(self) -> None:
        self.now_msc = NOON_MSC + 10_000

    def __call__(self) -> int:
        return self.now_msc


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def terminal(clock: Clock) -> SimulatedTerminal:
    listings = {
        "EURUSD": Listing(RecordingTape(make_ticks(ROWS))),
        "SPY": Listing(RecordingTape(make_trades([(0, 167.41, 100)])), digits=2, is_quoted=False),
    }
    simulated = SimulatedTerminal(listings, now_msc=clock)
    assert simulated.initialize()
    assert simulated.symbol_select("EURUSD", True)
    return simulated


@pytest.fixture
def athens() -> Iterator[None]:
    """Set the polling machine's local zone to UTC+2, without a rule for summer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "XXX-2")
        time.tzset()
        yield
    time.tzset()


def bids(ticks: Ticks | None) -> list[float] | None:
    if ticks is None:
        return None
    values: list[float] = ticks["bid"].tolist()
    return values


def test_forward_read_hands_out_the_oldest_ticks_first(terminal: SimulatedTerminal) -> None:
    assert bids(terminal.copy_ticks_from("EURUSD", NOON_S, 2, ALL)) == [1.0, 5.0]
    assert bids(terminal.copy_ticks_from("EURUSD", NOON_S + 1, 9, ALL)) == [3.0, 4.0, 6.0]
    assert terminal.last_error() == (1, "Success")


def test_range_includes_both_ends(terminal: SimulatedTerminal) -> None:
    assert bids(terminal.copy_ticks_range("EURUSD", NOON_S, NOON_S + 1, ALL)) == [1.0, 5.0, 2.0, 3.0]


def test_empty_array_is_success(terminal: SimulatedTerminal) -> None:
    ticks = terminal.copy_ticks_from("EURUSD", NOON_S + 100, 9, ALL)

    assert ticks is not None
    assert (len(ticks), terminal.last_error()) == (0, (1, "Success"))


@pytest.mark.parametrize(
    "date",
    [
        NOON_S,
        NOON_S + 0.999,
        np.float64(NOON_S + 0.5),
        dt.datetime(2026, 3, 2, 12, 0, 0, 999_999, tzinfo=dt.UTC),
        dt.datetime(2026, 3, 2, 15, 0, 0, tzinfo=dt.timezone(dt.timedelta(hours=3))),
    ],
)
def test_dates_are_floored_to_whole_seconds_of_the_terminal_s_clock(terminal: SimulatedTerminal, date: object) -> None:
    assert bids(terminal.copy_ticks_from("EURUSD", date, 1, ALL)) == [1.0]


@pytest.mark.usefixtures("athens")
def test_naive_datetime_is_in_the_polling_machine_s_zone(terminal: SimulatedTerminal) -> None:
    two_pm = dt.datetime(2026, 3, 2, 14, 0, 1)  # noqa: DTZ001  # the trap under test

    assert bids(terminal.copy_ticks_from("EURUSD", two_pm, 1, ALL)) == [3.0]


@pytest.mark.parametrize("date", [NOON_MSC, 2**31, -(2**31) - 1, 0, 0.5, float("nan"), "2026-03-02", None])
def test_date_that_32_bits_do_not_hold_or_that_is_none_fails(terminal: SimulatedTerminal, date: object) -> None:
    assert terminal.copy_ticks_from("EURUSD", date, 1, ALL) is None
    assert terminal.last_error() == (-2, "Invalid arguments")


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("EURUSD", NOON_S, 1),
        ("EURUSD", NOON_S, 1, ALL, 0),
        (b"EURUSD", NOON_S, 1, ALL),
        ("EURUSD", NOON_S, "1", ALL),
        ("EURUSD", NOON_S, 2**31, ALL),
        ("EURUSD", NOON_S, 1, 0),
        ("E" * 31, NOON_S, 1, ALL),
    ],
)
def test_wrong_arguments_fail_and_do_not_raise(terminal: SimulatedTerminal, args: tuple[object, ...]) -> None:
    assert terminal.copy_ticks_from(*args) is None
    assert terminal.last_error() == (-2, "Invalid arguments")


def test_copy_arguments_go_by_place_only(terminal: SimulatedTerminal) -> None:
    assert terminal.copy_ticks_range("EURUSD", NOON_S, NOON_S + 1, flags=ALL) is None
    assert terminal.last_error() == (-2, "Invalid arguments")


def test_every_call_resets_the_last_error(terminal: SimulatedTerminal) -> None:
    terminal.copy_ticks_from("EURUSD", 0, 1, ALL)
    failed = terminal.last_error()
    terminal.symbols_total()

    assert failed == (-2, "Invalid arguments")
    assert terminal.last_error() == (1, "Success")


def test_symbol_has_no_ticks_until_it_is_selected(terminal: SimulatedTerminal) -> None:
    before = terminal.copy_ticks_from("SPY", NOON_S, 9, ALL)
    terminal.symbol_select("SPY")
    behind = terminal.copy_ticks_from("SPY", NOON_S, 9, ALL)

    assert before is not None
    assert behind is not None
    assert (len(before), len(behind)) == (0, 1)


def test_symbol_is_hidden_again(terminal: SimulatedTerminal) -> None:
    assert terminal.symbol_select("EURUSD", False)

    info = terminal.symbol_info("EURUSD")

    assert info is not None
    assert (info.select, info.visible) == (False, False)


@pytest.mark.parametrize(
    ("call", "failure"),
    [
        (lambda t: t.symbol_select("NOSUCH", True), False),
        (lambda t: t.symbol_info("NOSUCH"), None),
        (lambda t: t.symbol_info_tick("NOSUCH"), None),
        (lambda t: t.copy_ticks_from("NOSUCH", NOON_S, 1, ALL), None),
        (lambda t: t.copy_ticks_range("NOSUCH", NOON_S, NOON_S, ALL), None),
    ],
)
def test_unknown_symbol_is_not_found(
    terminal: SimulatedTerminal, call: Callable[[SimulatedTerminal], object], failure: object
) -> None:
    assert call(terminal) is failure
    assert terminal.last_error() == (-4, "Terminal: Not found")


def test_info_and_trade_reads_filter_by_flags(terminal: SimulatedTerminal) -> None:
    terminal.symbol_select("SPY", True)

    def count(symbol: str, flags: int) -> int:
        ticks = terminal.copy_ticks_from(symbol, NOON_S, 9, flags)
        assert ticks is not None
        return len(ticks)

    assert (count("EURUSD", terminal.COPY_TICKS_INFO), count("EURUSD", terminal.COPY_TICKS_TRADE)) == (6, 0)
    assert (count("SPY", terminal.COPY_TICKS_INFO), count("SPY", terminal.COPY_TICKS_TRADE)) == (0, 1)


def test_filtered_read_counts_what_it_hands_out(terminal: SimulatedTerminal) -> None:
    assert bids(terminal.copy_ticks_from("EURUSD", NOON_S, 2, terminal.COPY_TICKS_INFO)) == [1.0, 5.0]


def test_only_the_newest_tick_is_told_by_symbol_info_tick(terminal: SimulatedTerminal, clock: Clock) -> None:
    clock.now_msc = NOON_MSC + 1_999

    newest = terminal.symbol_info_tick("EURUSD")

    assert newest is not None
    assert newest._asdict() == {
        "time": NOON_S + 1,
        "bid": 4.0,
        "ask": 4.1,
        "last": 0.0,
        "volume": 0,
        "time_msc": NOON_MSC + 1_500,
        "flags": 6,
        "volume_real": 0.0,
    }


def test_late_tick_is_in_a_later_read_and_not_in_the_live_one(terminal: SimulatedTerminal, clock: Clock) -> None:
    clock.now_msc = NOON_MSC + 1_499
    live = bids(terminal.copy_ticks_from("EURUSD", NOON_S, 9, ALL))
    clock.now_msc = NOON_MSC + 1_500
    later = bids(terminal.copy_ticks_from("EURUSD", NOON_S, 9, ALL))

    assert (live, later) == ([1.0, 2.0, 3.0], [1.0, 5.0, 2.0, 3.0, 4.0])


def test_nothing_works_before_initialize() -> None:
    terminal = SimulatedTerminal({}, now_msc=lambda: NOON_MSC)

    assert terminal.account_info() is None
    assert terminal.last_error() == (-10004, "No IPC connection")


def test_lost_pipe_fails_every_call_until_initialize(terminal: SimulatedTerminal) -> None:
    terminal.break_ipc()

    broken = [terminal.copy_ticks_from("EURUSD", NOON_S, 1, ALL), terminal.terminal_info(), terminal.symbols_get()]
    error = terminal.last_error()

    assert (broken, error) == ([None, None, None], (-10004, "No IPC connection"))
    assert terminal.initialize()
    assert terminal.terminal_info() is not None


def test_lost_broker_is_no_error_and_freezes_the_ticks(terminal: SimulatedTerminal, clock: Clock) -> None:
    clock.now_msc = NOON_MSC + 1_200
    terminal.break_link()
    clock.now_msc = NOON_MSC + 60_000

    info, ticks = terminal.terminal_info(), terminal.copy_ticks_from("EURUSD", NOON_S, 9, ALL)

    assert info is not None
    assert (info.connected, bids(ticks), terminal.last_error()) == (False, [1.0, 2.0, 3.0], (1, "Success"))


def test_history_of_an_outage_arrives_with_the_broker(terminal: SimulatedTerminal, clock: Clock) -> None:
    clock.now_msc = NOON_MSC + 1_200
    terminal.break_link()
    clock.now_msc = NOON_MSC + 60_000
    terminal.restore_link()

    assert bids(terminal.copy_ticks_from("EURUSD", NOON_S, 9, ALL)) == [1.0, 5.0, 2.0, 3.0, 4.0, 6.0]


def test_planned_failure_is_told_once(terminal: SimulatedTerminal) -> None:
    terminal.faults.fail["copy_ticks_from"] = [(-10005, "IPC timeout")]

    first = terminal.copy_ticks_from("EURUSD", NOON_S, 1, ALL)
    error = terminal.last_error()
    second = terminal.copy_ticks_from("EURUSD", NOON_S, 1, ALL)

    assert (first, error) == (None, (-10005, "IPC timeout"))
    assert bids(second) == [1.0]


def test_hung_terminal_blocks_the_call(terminal: SimulatedTerminal) -> None:
    is_reached, may_go_on = threading.Event(), threading.Event()

    def hang(_: str) -> None:
        is_reached.set()
        may_go_on.wait(30)

    terminal.faults.before_call = hang
    answers: list[Ticks | None] = []
    caller = threading.Thread(target=lambda: answers.append(terminal.copy_ticks_from("EURUSD", NOON_S, 1, ALL)))
    caller.start()
    assert is_reached.wait(30)

    hung = list(answers)
    may_go_on.set()
    caller.join(30)

    assert (hung, len(answers)) == ([], 1)


def test_page_limit_cuts_a_forward_read(terminal: SimulatedTerminal) -> None:
    terminal.faults.page_limit = 3

    assert bids(terminal.copy_ticks_from("EURUSD", NOON_S, 9, ALL)) == [1.0, 5.0, 2.0]


def test_first_read_of_an_unsynchronised_history_is_partial(terminal: SimulatedTerminal) -> None:
    terminal.faults.partial_reads["EURUSD"] = 1

    reads = [terminal.copy_ticks_range("EURUSD", NOON_S, NOON_S + 9, ALL) for _ in range(2)]

    assert [len(read) for read in reads if read is not None] == [3, 6]


def test_wrong_login_or_server_is_refused(terminal: SimulatedTerminal) -> None:
    assert not terminal.initialize(login=terminal.account_login + 1, password="x", server=terminal.server)
    assert terminal.last_error() == (-6, "Terminal: Authorization failed")
    assert not terminal.login(terminal.account_login, password="x", server="Other-Demo")
    assert terminal.login(terminal.account_login, password="x", server=terminal.server)


def test_account_is_a_demo_account(terminal: SimulatedTerminal) -> None:
    account = terminal.account_info()

    assert account is not None
    assert account.trade_mode == terminal.ACCOUNT_TRADE_MODE_DEMO


def test_symbols_are_listed_by_groups(terminal: SimulatedTerminal) -> None:
    def names(*args: object, **settings: object) -> list[str]:
        return [info.name for info in terminal.symbols_get(*args, **settings) or ()]

    assert terminal.symbols_total() == 2
    assert names() == ["EURUSD", "SPY"]
    assert names(group="*,!EUR*") == ["SPY"]
    assert names("EUR*") == ["EURUSD"]


def test_symbol_info_describes_the_instrument(terminal: SimulatedTerminal) -> None:
    terminal.symbol_select("SPY")
    euro, spy = terminal.symbol_info("EURUSD"), terminal.symbol_info("SPY")

    assert euro is not None
    assert spy is not None
    assert (euro.digits, euro.point, euro.bid, euro.chart_mode) == (5, 1e-05, 6.0, terminal.SYMBOL_CHART_MODE_BID)
    assert (spy.digits, spy.last, spy.chart_mode) == (2, 167.41, terminal.SYMBOL_CHART_MODE_LAST)


def test_shutdown_disconnects(terminal: SimulatedTerminal) -> None:
    terminal.shutdown()

    assert terminal.version() is None
    assert terminal.last_error() == (-10004, "No IPC connection")


def test_history_that_is_being_fetched_shows_its_oldest_rows_and_then_all(clock: Clock) -> None:
    host = Clock()
    tape = RecordingTape(make_ticks([(ms, 1.0, 1.1) for ms in range(100)]))
    terminal = SimulatedTerminal({"EURUSD": Listing(tape)}, now_msc=clock, host_now_msc=host)
    terminal.initialize()
    terminal.symbol_select("EURUSD")
    terminal.unsynchronise(45_000)
    counts = []

    for after_ms in (0, 22_500, 44_999, 45_000):
        host.now_msc = NOON_MSC + after_ms
        ticks = terminal.copy_ticks_from("EURUSD", NOON_S, 1000, ALL)
        assert terminal.last_error() == (1, "Success")
        counts.append(0 if ticks is None else len(ticks))

    assert counts == [0, 50, 99, 100]


def test_terminal_that_runs_already_is_attached_whatever_account_it_is_on(terminal: SimulatedTerminal) -> None:
    terminal.faults.ignore_credentials = True

    assert terminal.initialize(login=terminal.account_login + 1, password="x", server="Other-Demo")
    account = terminal.account_info()
    assert account is not None
    assert (account.login, account.server) == (terminal.account_login, "Simulated-Demo")


def test_login_changes_to_a_known_account(terminal: SimulatedTerminal) -> None:
    terminal.logins[77] = "Second-Demo"

    assert terminal.login(77, password="x", server="Second-Demo")
    account = terminal.account_info()
    assert account is not None
    assert (account.login, account.server) == (77, "Second-Demo")
