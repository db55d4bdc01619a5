"""The guard kills a process whose heartbeat stops, starts again what dies, and ends with what ends for good."""

import signal
import sys
from pathlib import Path

import pytest

from tests.integration.embedded.conftest import are_gone
from tickhub.core import clock
from tickhub.supervisor import guard

# A capturing process in small: each start is a line in a file; then it does what the next word says.
CHILD = """
import os, sys, time
from pathlib import Path
from ingest import heartbeat
starts = Path(sys.argv[1])
with starts.open("a") as file: file.write(f"{os.getpid()}\\n")
action = sys.argv[1 + len(starts.read_text().split())]
deadline = time.monotonic() + 60
while action == "hang" and time.monotonic() < deadline: time.sleep(0.1)
if action == "slow":
    heartbeat.beat(extra_s=30)
    time.sleep(2)
    heartbeat.beat()
if action.isdigit(): sys.exit(int(action))
"""


def guarded(starts: Path, *actions: str, hung_after_s: float = 30.0, stop_after: int = 99) -> tuple[int, list[str]]:
    """Guard a child that does one action after the other; return the exit code and what was told."""
    told: list[str] = []
    deadline_s = clock.monotonic_s() + 60

    def should_stop() -> bool:
        assert clock.monotonic_s() < deadline_s
        return starts.exists() and len(starts.read_text().split()) >= stop_after

    argv = [sys.executable, "-c", CHILD, str(starts), *actions]
    return guard.run(argv, hung_after_s=hung_after_s, should_stop=should_stop, tell=told.append), told


def pids(starts: Path) -> list[int]:
    return [int(pid) for pid in starts.read_text().split()]


def test_child_that_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    code, told = guarded(tmp_path / "starts", "hang", "0", hung_after_s=2)

    first, second = pids(tmp_path / "starts")
    assert (code, are_gone([first, second])) == (0, True)
    assert told[0] == f"poller (pid {first}) has been silent for 2 s; killing it"
    assert told[1].startswith(f"poller ended with code {-signal.SIGKILL}; restarting in ")


def test_child_that_dies_is_started_again_and_a_lost_lease_is_no_end(tmp_path: Path) -> None:
    code, told = guarded(tmp_path / "starts", "1", "3", "0")

    assert (code, len(pids(tmp_path / "starts")), len(told)) == (0, 3, 2)


@pytest.mark.parametrize("code", [2, 4])
def test_child_that_ends_for_good_is_not_started_again(tmp_path: Path, code: int) -> None:
    assert guarded(tmp_path / "starts", str(code)) == (code, [])


def test_child_that_asks_for_more_time_is_given_it(tmp_path: Path) -> None:
    started_s = clock.monotonic_s()

    assert guarded(tmp_path / "starts", "slow", hung_after_s=1) == (0, [])
    assert clock.monotonic_s() - started_s > 2


def test_guard_that_is_told_to_stop_ends_its_child(tmp_path: Path) -> None:
    code, _ = guarded(tmp_path / "starts", "hang", stop_after=1)

    assert code == -signal.SIGTERM
    assert are_gone(pids(tmp_path / "starts"))
