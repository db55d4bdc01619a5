"""The simulated terminal has the names, values, fields and records of the real package, as recorded in golden/."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.sources import structs
from ingest.sources.constants import Constants
from ingest.sources.market import Market
from ingest.sources.simulator import Listing, SimulatedTerminal
from ingest.sources.structs import StructSequence
from ingest.sources.tape import GeneratedTape
from tests.builders import NOON_MSC
from tickhub.core.ticks import TICK_DTYPE

FACTS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "mt5_facts.json").read_text())  # Any: JSON
# What capture has no use for: depth of market, bars, and everything about orders.
LEFT_OUT = {
    name
    for name in FACTS["functions"]
    if name.startswith(("market_book", "copy_rates", "positions", "orders", "history", "order_"))
}


@pytest.fixture
def terminal() -> SimulatedTerminal:
    market = Market(symbol="EURUSD", symbols=("EURUSD",), rate=50, seed=1)
    simulated = SimulatedTerminal({"EURUSD": Listing(GeneratedTape(market))}, now_msc=lambda: NOON_MSC)
    assert simulated.initialize()
    assert simulated.symbol_select("EURUSD", True)
    return simulated


def constants() -> dict[str, int]:
    return {name: value for name, value in vars(Constants).items() if name.isupper()}


def test_every_constant_has_the_package_s_value() -> None:
    recorded = {name: FACTS["constants"][name] for name in constants()}

    assert constants() == recorded


@pytest.mark.parametrize("group", ["COPY_TICKS_", "TICK_FLAG_", "RES_", "TIMEFRAME_", "ACCOUNT_TRADE_MODE_"])
def test_groups_of_constants_that_capture_uses_are_whole(group: str) -> None:
    recorded = {name for name in FACTS["constants"] if name.startswith(group)}

    assert {name for name in constants() if name.startswith(group)} == recorded


def test_every_function_of_reading_ticks_exists(terminal: SimulatedTerminal) -> None:
    missing = [name for name in FACTS["functions"] if not callable(getattr(terminal, name, None))]

    assert set(missing) == LEFT_OUT


@pytest.mark.parametrize("name", ["Tick", "TerminalInfo", "AccountInfo", "SymbolInfo"])
def test_records_have_the_package_s_fields_in_its_order(name: str) -> None:
    kind: type[StructSequence] = getattr(structs, name)

    assert list(kind.names) == FACTS["structs"][name]


def test_calls_answer_with_the_records_of_their_name(terminal: SimulatedTerminal) -> None:
    answers = {
        "Tick": terminal.symbol_info_tick("EURUSD"),
        "TerminalInfo": terminal.terminal_info(),
        "AccountInfo": terminal.account_info(),
        "SymbolInfo": terminal.symbol_info("EURUSD"),
    }

    for name, answer in answers.items():
        assert answer is not None
        assert type(answer).__name__ == name
        assert list(answer._asdict()) == FACTS["structs"][name]


def test_records_are_tuples_without_the_methods_of_a_named_tuple(terminal: SimulatedTerminal) -> None:
    account = terminal.account_info()

    assert isinstance(account, tuple)
    assert account[0] == account.login
    assert not hasattr(account, "_replace")
    assert not hasattr(account, "_fields")


def test_ticks_have_the_package_s_record_of_sixty_packed_bytes(terminal: SimulatedTerminal) -> None:
    ticks = terminal.copy_ticks_from("EURUSD", NOON_MSC // 1000 - 10, 100, terminal.COPY_TICKS_ALL)

    assert ticks is not None
    assert [[name, ticks.dtype[name].str] for name in ticks.dtype.names or ()] == FACTS["ticks_dtype"]
    assert ticks.dtype == TICK_DTYPE
    assert ticks.dtype.itemsize == 60
    assert ticks.flags.owndata
    assert isinstance(ticks, np.ndarray)
