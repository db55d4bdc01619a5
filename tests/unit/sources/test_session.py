"""Sessions with a terminal: the account is checked, symbols are selected, a lost connection comes back."""

import pytest

from ingest.sources.account import Expected
from ingest.sources.breaker import FAILURES_MOST, Breaker, Circuit
from ingest.sources.session import LOOK_S, Session, TerminalUnavailable, UnknownSymbol, WrongAccount
from ingest.sources.simulator import Listing, SimulatedTerminal
from ingest.sources.tape import RecordingTape
from ingest.sources.terminal import Link
from tests.builders import NOON_MSC, make_ticks


@pytest.fixture
def terminal() -> SimulatedTerminal:
    tape = RecordingTape(make_ticks([(0, 1.0, 1.1)]))
    return SimulatedTerminal({"EURUSD": Listing(tape)}, now_msc=lambda: NOON_MSC)


class Watch:
    """Seconds, set by the test."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def session(
    terminal: SimulatedTerminal, *symbols: str, login: int | None = None, watch: Watch | None = None
) -> Session:
    """A session whose pauses last as long as they may."""
    watch = watch or Watch()
    breaker = Breaker(now_s=watch, jitter=lambda _, most: most)
    expected = Expected(login=login, server="Simulated-Demo")
    return Session(terminal, label="mt5:demo", symbols=symbols, expected=expected, breaker=breaker, now_s=watch)


def test_open_selects_every_symbol(terminal: SimulatedTerminal) -> None:
    session(terminal, "EURUSD").open()

    info = terminal.symbol_info("EURUSD")
    assert info is not None
    assert info.select


def test_open_says_which_symbol_the_terminal_does_not_show(terminal: SimulatedTerminal) -> None:
    with pytest.raises(
        UnknownSymbol, match=r"^mt5:demo: the terminal does not show GBPUSD: error -4 Terminal: Not found$"
    ):
        session(terminal, "EURUSD", "GBPUSD").open()


def test_open_says_why_the_terminal_cannot_be_initialised(terminal: SimulatedTerminal) -> None:
    terminal.faults.refuse_initialize = True

    with pytest.raises(TerminalUnavailable, match="cannot be initialised: error -10003 IPC initialize failed"):
        session(terminal, "EURUSD").open()


def test_another_account_is_refused_without_telling_its_number(terminal: SimulatedTerminal) -> None:
    with pytest.raises(WrongAccount) as raised:
        session(terminal, "EURUSD", login=123_456).open()

    assert str(raised.value) == "mt5:demo: the terminal is on another account than configured"


def test_another_server_after_a_restart_of_the_terminal_is_refused(terminal: SimulatedTerminal) -> None:
    opened = session(terminal, "EURUSD")
    opened.open()

    terminal.server = "Other-Live"

    with pytest.raises(WrongAccount, match="the terminal is on server Other-Live, not Simulated-Demo"):
        opened.ensure()


def test_lost_connection_is_opened_again_with_its_symbols(terminal: SimulatedTerminal) -> None:
    opened = session(terminal, "EURUSD")
    opened.open()

    terminal.break_ipc()
    opened.ensure()

    info = terminal.symbol_info("EURUSD")
    assert info is not None
    assert info.select


def test_terminal_that_stays_away_is_tried_after_growing_pauses(terminal: SimulatedTerminal) -> None:
    watch = Watch()
    opened = session(terminal, "EURUSD", watch=watch)
    opened.open()
    terminal.break_ipc()
    terminal.faults.refuse_initialize = True
    tries: list[float] = []
    terminal.faults.before_call = lambda name: tries.append(watch.now_s - 1000) if name == "initialize" else None

    for quarter in range(73):
        watch.now_s = 1000 + quarter / 4
        opened.ensure()

    # 0.25, 0.5, 1, 2, 4, 5 and 5 s; the next pause is that of an open circuit.
    assert tries == [0.0, 0.25, 0.75, 1.75, 3.75, 7.75, 12.75, 17.75]
    assert (opened.link, opened.breaker.circuit) == (Link.IPC_LOST, Circuit.OPEN)


def test_open_circuit_is_tried_once_and_closes_when_the_terminal_is_back(terminal: SimulatedTerminal) -> None:
    watch = Watch()
    opened = session(terminal, "EURUSD", watch=watch)
    opened.open()
    terminal.break_ipc()
    for _ in range(FAILURES_MOST):
        opened.breaker.failed()
    tries: list[str] = []
    terminal.faults.before_call = lambda name: tries.append(name) if name == "initialize" else None

    opened.ensure()
    watch.now_s += 15
    half_open = opened.breaker.circuit
    opened.ensure()

    assert half_open is Circuit.HALF_OPEN
    assert tries == ["initialize"]
    assert (opened.link, opened.breaker.circuit, opened.breaker.failures) == (Link.CONNECTED, Circuit.CLOSED, 0)


def test_lost_broker_is_told_and_its_return_counts_as_a_new_connection(terminal: SimulatedTerminal) -> None:
    opened = session(terminal, "EURUSD")
    opened.open()

    terminal.break_link()
    opened.ensure()
    lost = (opened.link, opened.connections)
    terminal.restore_link()
    opened.ensure()

    assert lost == (Link.LINK_LOST, 1)
    assert (opened.link, opened.connections) == (Link.CONNECTED, 2)


def test_symbol_that_somebody_hides_is_shown_again(terminal: SimulatedTerminal) -> None:
    watch = Watch()
    opened = session(terminal, "EURUSD", watch=watch)
    opened.open()
    terminal.symbol_select("EURUSD", False)

    watch.now_s += LOOK_S
    opened.ensure()

    info = terminal.symbol_info("EURUSD")
    assert info is not None
    assert (info.select, opened.connections) == (True, 2)


def test_terminal_attached_to_another_account_is_logged_in_to_ours(terminal: SimulatedTerminal) -> None:
    terminal.faults.ignore_credentials = True
    terminal.logins[7_654_321] = "Simulated-Demo"
    opened = Session(
        terminal,
        label="mt5:demo",
        symbols=("EURUSD",),
        expected=Expected(7_654_321, "Simulated-Demo"),
        settings={"login": 7_654_321, "password": "investor", "server": "Simulated-Demo"},
    )

    opened.open()

    account = terminal.account_info()
    assert account is not None
    assert account.login == 7_654_321


def test_terminal_that_stays_on_another_account_is_refused(terminal: SimulatedTerminal) -> None:
    terminal.faults.ignore_credentials = True
    opened = Session(
        terminal,
        label="mt5:demo",
        symbols=("EURUSD",),
        expected=Expected(7_654_321, "Simulated-Demo"),
        settings={"login": 7_654_321, "password": "investor", "server": "Simulated-Demo"},
    )

    with pytest.raises(WrongAccount, match="another account"):
        opened.open()
    assert opened.link is Link.WRONG_ACCOUNT
