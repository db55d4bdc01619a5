"""Sessions with a terminal: the account is checked, symbols are selected, a lost connection comes back."""

import pytest

from ingest.sources.session import Session, TerminalUnavailable, UnknownSymbol, WrongAccount
from ingest.sources.simulator import Listing, SimulatedTerminal
from ingest.sources.tape import RecordingTape
from tests.builders import NOON_MSC, make_ticks


@pytest.fixture
def terminal() -> SimulatedTerminal:
    tape = RecordingTape(make_ticks([(0, 1.0, 1.1)]))
    return SimulatedTerminal({"EURUSD": Listing(tape)}, now_msc=lambda: NOON_MSC)


def session(terminal: SimulatedTerminal, *symbols: str, login: int | None = None) -> Session:
    return Session(terminal, label="mt5:demo", symbols=symbols, login=login, server="Simulated-Demo")


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
        opened.ensure(NOON_MSC)


def test_lost_connection_is_opened_again_with_its_symbols(terminal: SimulatedTerminal) -> None:
    opened = session(terminal, "EURUSD")
    opened.open()

    terminal.break_ipc()
    opened.ensure(NOON_MSC)

    info = terminal.symbol_info("EURUSD")
    assert info is not None
    assert info.select


def test_terminal_that_stays_away_is_tried_every_five_seconds(terminal: SimulatedTerminal) -> None:
    opened = session(terminal, "EURUSD")
    opened.open()
    terminal.break_ipc()
    terminal.faults.refuse_initialize = True
    tries: list[str] = []
    terminal.faults.before_call = lambda name: tries.append(name) if name == "initialize" else None

    for after_ms in (0, 50, 4_999, 5_000, 9_999):
        opened.ensure(NOON_MSC + after_ms)

    assert len(tries) == 2
