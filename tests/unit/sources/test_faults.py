"""Faults planned in a file: when each begins and ends, for which process, and what the terminal then does."""

import json
from pathlib import Path

import numpy as np
import pytest

from ingest.sources import faults, opening, spec
from ingest.sources.faults import Driver
from ingest.sources.opening import Playback, SimulatedSource
from ingest.sources.session import WrongAccount
from ingest.sources.simulator import Listing, SimulatedTerminal
from ingest.sources.tape import RecordingTape
from tests.builders import NOON_MSC, make_ticks
from tickhub.core.errors import UsageError

NOON_S = NOON_MSC // 1000
ALL = SimulatedTerminal.COPY_TICKS_ALL


class Host:
    """The host's clock, set by the test; each look at it takes some time, as a hang does."""

    def __init__(self, *, step_ms: int = 0) -> None:
        self.now_msc = NOON_MSC
        self.step_ms = step_ms

    def __call__(self) -> int:
        self.now_msc += self.step_ms
        return self.now_msc


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "faults.jsonl"


def plan(file: Path, **fault: object) -> None:
    with file.open("a") as lines:
        lines.write(json.dumps(fault) + "\n")


def connected(file: Path, host: Host) -> SimulatedTerminal:
    """A terminal under a driver, whose clock is the host's."""
    tape = RecordingTape(make_ticks([(0, 1.0, 1.1), (900, 2.0, 2.1), (2_500, 3.0, 3.1)]))
    terminal = SimulatedTerminal({"EURUSD": Listing(tape)}, now_msc=lambda: host.now_msc, host_now_msc=host)
    Driver(terminal, file, host_now_msc=host)
    assert terminal.initialize()
    assert terminal.symbol_select("EURUSD")
    return terminal


def count(terminal: SimulatedTerminal) -> int | None:
    ticks = terminal.copy_ticks_from("EURUSD", NOON_S, 9, ALL)
    return None if ticks is None else len(ticks)


def test_absent_file_plans_nothing(file: Path, host: Host) -> None:
    assert count(connected(file, host)) == 1


def test_lost_link_freezes_the_ticks_for_its_time(file: Path, host: Host) -> None:
    plan(file, kind="link_lost", at_msc=NOON_MSC + 1_000, for_ms=2_000)
    terminal = connected(file, host)
    seen = []

    for after_ms in (999, 1_000, 2_999, 3_000):
        host.now_msc = NOON_MSC + after_ms
        info = terminal.terminal_info()
        assert info is not None
        seen.append((info.connected, count(terminal)))

    assert seen == [(True, 2), (False, 2), (False, 2), (True, 3)]


def test_lost_pipe_stays_lost_until_initialize_works_again(file: Path, host: Host) -> None:
    terminal = connected(file, host)
    plan(file, kind="ipc_lost", for_ms=1_000)
    host.now_msc += 100

    lost = (count(terminal), terminal.last_error()[0], terminal.initialize(), terminal.last_error()[0])
    host.now_msc += 1_000
    still = (count(terminal), terminal.last_error()[0])

    assert lost == (None, -10004, False, -10003)
    assert still == (None, -10004)
    assert terminal.initialize()


def test_line_without_a_time_is_passed_over_by_a_process_that_starts_later(file: Path, host: Host) -> None:
    plan(file, kind="hang")

    assert count(connected(file, host)) == 1


def test_line_with_a_time_holds_for_a_process_that_starts_in_it_and_not_behind_it(file: Path, host: Host) -> None:
    plan(file, kind="other_account", at_msc=NOON_MSC - 1_000, for_ms=2_000)
    terminal = SimulatedTerminal({}, now_msc=host, host_now_msc=host)
    Driver(terminal, file, host_now_msc=host)
    terminal.initialize()
    during = terminal.account_login
    host.now_msc += 1_000
    later = SimulatedTerminal({}, now_msc=host, host_now_msc=host)
    Driver(later, file, host_now_msc=host)
    later.initialize()

    assert (during, later.account_login) == (5_000_002, 5_000_001)


def test_hang_blocks_a_call_for_its_time(file: Path) -> None:
    host = Host()
    terminal = connected(file, host)
    plan(file, kind="hang", at_msc=NOON_MSC + 500, for_ms=1_000)
    host.step_ms = 200

    while host.now_msc < NOON_MSC + 500:
        before_msc = host.now_msc
        terminal.account_info()

    assert before_msc < NOON_MSC + 500
    assert host.now_msc >= NOON_MSC + 1_500


def test_update_restarts_the_terminal_with_a_new_build(file: Path, host: Host) -> None:
    terminal = connected(file, host)
    plan(file, kind="update_restart", for_ms=500)
    host.now_msc += 100
    away = (terminal.version(), terminal.initialize())
    host.now_msc += 500

    assert away == (None, False)
    assert terminal.initialize()
    assert terminal.version() == (500, 5001, "25 Apr 2025")


def test_hidden_symbol_and_timeouts_and_digits(file: Path, host: Host) -> None:
    terminal = connected(file, host)
    plan(file, kind="ipc_timeout", for_ms=100)
    plan(file, kind="digits_changed", symbol="EURUSD")
    plan(file, kind="symbol_hidden", symbol="EURUSD")
    host.now_msc += 50
    timed_out = (count(terminal), terminal.last_error())
    host.now_msc += 100
    info = terminal.symbol_info("EURUSD")

    assert timed_out == (None, (-10005, "IPC timeout"))
    assert info is not None
    assert (info.select, info.digits, count(terminal)) == (False, 6, 0)


def test_stepped_clock_tells_another_time_of_the_poll_and_the_same_ticks(
    file: Path, host: Host, tmp_path: Path
) -> None:
    plan(file, kind="clock_stepped", at_msc=NOON_MSC + 1_000, for_ms=1_000, by_ms=-7_200_000)
    np.savez(tmp_path / "X.npz", ticks=make_ticks([(0, 1.0, 1.1), (900, 2.0, 2.1), (2_500, 3.0, 3.1)]))
    played = spec.parse(f"replay:{tmp_path / 'X.npz'}?symbol=X")
    source = opening.open_source(played, playback=Playback(NOON_MSC, None, None), host_now_msc=host)
    assert isinstance(source, SimulatedSource)
    Driver(source.simulated, file, host_now_msc=host)
    seen = []

    for after_ms in (999, 1_500, 2_000):
        host.now_msc = NOON_MSC + after_ms
        now_msc = source.begin_poll()
        ticks = source.terminal.copy_ticks_from("X", NOON_S, 9, ALL)
        assert ticks is not None
        seen.append((now_msc - NOON_MSC, len(ticks)))

    assert seen == [(999, 2), (1_500 - 7_200_000, 2), (2_000, 2)]


@pytest.mark.parametrize("line", ["{", "[]", '{"kind": "flood"}', '{"kind": "hang", "at_msc": "noon"}'])
def test_line_that_is_no_fault_is_named(file: Path, host: Host, line: str) -> None:
    file.write_text(f"\n{line}\n")

    with pytest.raises(UsageError, match=r"faults.jsonl, line 2: no fault: .*; kinds: ipc_lost, "):
        connected(file, host)


def test_half_a_line_waits_for_its_end(file: Path, host: Host) -> None:
    terminal = connected(file, host)
    file.write_text('{"kind": "ipc_lost"')
    host.now_msc += 20
    before = count(terminal)
    file.write_text('{"kind": "ipc_lost"}\n')
    host.now_msc += 20

    assert (before, count(terminal)) == (1, None)


def test_source_of_a_recording_meets_the_faults_of_the_environment(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(0, 1.1, 1.2)]))
    monkeypatch.setenv("TICKHUB_FAULT_FILE", str(file))
    playback = Playback(origin_msc=0, start_msc=None, reached_msc=None)
    source = opening.open_source(spec.parse(f"replay:{tmp_path}/EURUSD.npz"), playback=playback)
    plan(file, kind="other_account", at_msc=0, for_ms=1 << 60)

    with pytest.raises(WrongAccount):
        opening.open_source(spec.parse(f"replay:{tmp_path}/EURUSD.npz"), playback=playback)
    assert source.connections == 1
    assert opening.open_for_rereading(spec.parse(f"replay:{tmp_path}/EURUSD.npz")).connections == 0


def test_production_makes_no_faults(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("TICKHUB_FAULT_FILE", str(file))
    monkeypatch.setenv("TICKHUB_ENVIRONMENT", "production")

    with pytest.raises(UsageError, match="cannot be set in production"):
        faults.of_environment()
