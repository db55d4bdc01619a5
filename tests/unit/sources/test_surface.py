"""Calls into the terminal that may take long are announced to whoever watches the process, and taken back."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ingest import heartbeat
from ingest.sources import recording
from ingest.sources.account import Expected
from ingest.sources.session import Session
from ingest.sources.surface import READING, ReadingSurface
from tests.builders import make_ticks

LOGIN = 77


class Package:
    """The MetaTrader5 module in small: notes the time that was asked for when each function runs."""

    def __init__(self, heart: Path) -> None:
        self._heart = heart
        self.attached = 1
        self.has_broker = True
        self.asked: list[tuple[str, float]] = []
        for name in READING:
            setattr(self, name, self._function(name))

    def _function(self, name: str) -> Callable[..., object]:
        def function(*arguments: int, **_: object) -> object:
            self.asked.append((name, asked_s(self._heart)))
            if name == "login":
                self.attached = arguments[0]
            return {
                "account_info": SimpleNamespace(login=self.attached, server="S", trade_mode=0),
                "terminal_info": SimpleNamespace(connected=self.has_broker),
                "symbol_info": None,
                "copy_ticks_from": make_ticks([]),
                "copy_ticks_range": make_ticks([]),
            }.get(name, True)

        return function

    def of(self, *names: str) -> list[float]:
        """The times asked for by these functions since the last question."""
        found = [extra_s for name, extra_s in self.asked if name in names]
        self.asked.clear()
        return found


def asked_s(heart: Path) -> float:
    return float(heart.read_text().split()[1]) if heart.exists() else 0.0


@pytest.fixture
def heart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(heartbeat.VARIABLE, str(tmp_path / "heartbeat"))
    return tmp_path / "heartbeat"


@pytest.fixture
def package(heart: Path) -> Package:
    return Package(heart)


def surface(package: Package) -> ReadingSurface:
    return ReadingSurface(package, label="x", expected=Expected())


def session(package: Package, *, timeout_ms: int) -> Session:
    """A session of another account than the one that the terminal is attached under."""
    expected = Expected(LOGIN, "S", None)
    settings = {"login": LOGIN, "password": "p", "server": "S", "timeout": timeout_ms}
    reading = ReadingSurface(package, label="x", expected=expected)
    return Session(reading, label="x", symbols=(), expected=expected, settings=settings)


@pytest.mark.parametrize(("timeout_ms", "starting_s", "logging_in_s"), [(60_000, 130, 70), (9_000, 130, 19)])
def test_starting_a_terminal_and_logging_in_may_each_take_their_time(
    package: Package, heart: Path, timeout_ms: int, starting_s: float, logging_in_s: float
) -> None:
    session(package, timeout_ms=timeout_ms).open()

    asked = dict(package.asked)
    assert (asked["initialize"], asked["login"]) == (starting_s, logging_in_s)
    # What was asked for is over with the call.
    assert (asked["account_info"], asked_s(heart)) == (0, 0)


def test_only_reads_that_may_have_to_be_fetched_from_the_broker_ask_for_time(package: Package) -> None:
    reading = surface(package)
    names = ("copy_ticks_from", "copy_ticks_range")

    def read(symbol: str, second: int) -> None:
        reading.copy_ticks_from(symbol, second, 9, -1)

    read("EURUSD", 100)
    read("EURUSD", 100)
    read("EURUSD", 101)
    read("GBPUSD", 100)
    assert package.of(*names) == [60, 0, 0, 60]
    reading.copy_ticks_range("EURUSD", 99, 200, -1)
    read("EURUSD", 99)
    assert package.of(*names) == [60, 0]


def test_a_new_connection_a_broker_found_again_and_a_symbol_shown_again_fetch_anew(package: Package) -> None:
    reading = surface(package)

    def asks() -> list[float]:
        reading.terminal_info()
        reading.copy_ticks_from("EURUSD", 100, 9, -1)
        return package.of("copy_ticks_from")

    assert (asks(), asks()) == ([60], [0])
    reading.initialize()
    assert (asks(), asks()) == ([60], [0])
    package.has_broker = False
    assert (asks(), asks()) == ([0], [0])
    package.has_broker = True
    assert (asks(), asks()) == ([60], [0])
    reading.symbol_select("EURUSD", True)
    assert (asks(), asks()) == ([60], [0])


def test_loading_a_file_asks_for_time_by_its_size(tmp_path: Path, heart: Path) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(ms, 1.1, 1.2) for ms in range(40_000)]))

    recording.load(tmp_path / "EURUSD.npz")

    # 40,000 ticks of 60 bytes, not packed.
    assert asked_s(heart) == 2
