"""`manage.py agent` as a process: without any server's address, refused in one line, complete and once."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ingest import queries
from ingest.models import Batch
from tests.crash import recordings
from tests.crash.system import environment
from tests.integration.bridge.conftest import MANAGE, NOON_MSC, Desk
from tests.wire_client import Terminal
from tickhub.core import ticks as tick_arrays


@pytest.fixture
def token_file(desk: Desk, tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(desk.token + "\n")
    return path


def run(desk: Desk, token_file: Path, source: str, *options: str, url: str = "") -> "subprocess.CompletedProcess[str]":
    """Run an agent to its end."""
    command = [sys.executable, MANAGE, "agent", "--source", source, "--token-file", str(token_file), *options]
    command += ["--bridge", url or f"ws://127.0.0.1:{desk.bridge.port}"]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=100, check=False)


def test_a_recording_arrives_complete_and_once_and_a_second_agent_adds_nothing(
    desk: Desk, token_file: Path, tmp_path: Path
) -> None:
    ticks = recordings.make(50_000, seconds=3600, seed=3)
    source = f"replay:{recordings.write(tmp_path / 'X.npz', ticks)}?symbol=X&speed=max"

    first = run(desk, token_file, source, "--until-drained")
    second = run(desk, token_file, source, "--until-drained")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    feeds = queries.captured_between(source_id=desk.source.pk, from_msc=0, to_msc=1 << 60)
    (found,) = feeds.values()
    assert np.array_equal(np.sort(tick_arrays.records(found.ticks)), np.sort(tick_arrays.records(ticks))), (
        f"{len(found.ticks)} captured"
    )
    assert {part["missing"] for batch in Batch.objects.order_by("pk") for part in batch.parts} == {0}


@pytest.mark.timeout(120)
def test_an_agent_that_meets_another_one_ends_with_exit_code_3(desk: Desk, token_file: Path) -> None:
    terminal = Terminal(["EURUSD"])
    terminal.now_msc = NOON_MSC
    rival = desk.client(terminal)
    rival.hello(begins_msc=NOON_MSC, server="Simulated-Demo")
    command = [sys.executable, MANAGE, "agent", "--source", "sim:?symbols=EURUSD", "--token-file", str(token_file)]
    command += ["--bridge", f"ws://127.0.0.1:{desk.bridge.port}"]
    agent = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)

    rival.serve(lambda: agent.poll() is not None, within_s=60)

    _, said = agent.communicate()
    assert agent.returncode == 3
    assert said.splitlines()[-1] == (
        "error: the bridge refused this agent (4009): another agent sends this source's ticks"
    )
    rival.finish()


def test_a_refused_token_is_one_line_and_exit_code_2_under_the_watchdog_too(desk: Desk, token_file: Path) -> None:
    token_file.write_text("tickhub_wrong")

    done = run(desk, token_file, "sim:?symbols=EURUSD", "--watchdog")

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: the bridge refused this agent (4001): the token is unknown or revoked"
    )
    assert "tickhub_wrong" not in done.stderr


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ws://10.0.0.1:8001", "the token would travel in the clear; use wss://, or --insecure inside a tunnel"),
        ("http://127.0.0.1:8001", "expected wss://HOST or ws://127.0.0.1:8001"),
    ],
)
def test_an_address_that_would_show_the_token_is_refused(
    desk: Desk, token_file: Path, url: str, complaint: str
) -> None:
    done = run(desk, token_file, "sim:?symbols=EURUSD", url=url)

    assert done.returncode == 2
    assert done.stderr == f"error: --bridge {url}: {complaint}\n"
