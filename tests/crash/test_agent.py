"""An agent's connection is cut, its process and the bridge are killed: what it sends arrives complete and once."""

import logging
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.crash import recordings
from tests.crash.conftest import NewSystem
from tests.crash.system import MANAGE, System, environment, waited_for
from tests.cutter import Cutter
from tests.integration.embedded.conftest import wait_for

logger = logging.getLogger(__name__)

_TICKS = 120_000
_SECONDS = 1800
_IDLE = "sim:?symbols=EURUSD&rate=1"
_EXPECTED = {"exported": _TICKS, "source": _TICKS, "missing": 0, "not_of_source": 0}


class Agent:
    """A `manage.py agent` of one recording, in an environment without any server's address."""

    def __init__(self, source: Path, token: Path, log: Path) -> None:
        self._source = source
        self._token = token
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, port: int, *, speed: str, ends: bool = True) -> "subprocess.Popen[bytes]":
        command = ["agent", "--source", f"replay:{self._source}?symbol=X&speed={speed}"]
        command += ["--bridge", f"ws://127.0.0.1:{port}", "--token-file", str(self._token)]
        command += ["--until-drained"] if ends else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, MANAGE, *command], env=environment(), stdout=log, stderr=log
            )
        return self.process

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def system(new_system: NewSystem) -> System:
    """A system that captures next to nothing by itself, and runs until it is told to end."""
    running = new_system()
    running.start(_IDLE, options=("--for=600",))
    waited_for(lambda: running.find("manage.py poll"), within_s=60)
    return running


@pytest.fixture
def agent(system: System, tmp_path: Path) -> Iterator[Agent]:
    """An agent of a recording in which everything occurs, with a token for the source "desk"."""
    source = recordings.write(tmp_path / "X.npz", recordings.make(_TICKS, seconds=_SECONDS, seed=7))
    made = system.manage("agent_token", "--source", "desk", "--clock", "UTC", "--out", str(tmp_path / "token"))
    assert made.returncode == 0, made.stderr
    running = Agent(source, tmp_path / "token", tmp_path / "agent.log")
    yield running
    running.end()


def has_gone_on(system: System, captured: int) -> bool:
    return system.captured() > captured + 500


def finish(system: System, agent: Agent, source: Path) -> None:
    """Check by the independent comparison that all is there once."""
    stored = "SELECT count(*) FROM ingest_batch WHERE status = 'WAITING'"
    assert wait_for(lambda: system.ask(stored) == 0, within_s=60), system.story()
    assert system.difference(source, "X") == _EXPECTED, agent.log.read_text()[-3000:] + system.story()


@pytest.mark.timeout(150)
def test_a_recording_through_a_proxy_that_cuts_arrives_complete_and_once(
    system: System, agent: Agent, tmp_path: Path
) -> None:
    with Cutter(system.bridge_port, every_s=(0.1, 0.5), seed=3) as cutter:
        agent.start(cutter.port, speed="120")
        assert wait_for(lambda: cutter.cuts >= 20, within_s=60)
        assert wait_for(lambda: system.captured() > _TICKS // 2, within_s=60), agent.log.read_text()[-3000:]
        cutter.spare()
        assert wait_for(agent.has_ended, within_s=60), agent.log.read_text()[-3000:]

    assert agent.process is not None
    assert agent.process.returncode == 0, agent.log.read_text()[-3000:]
    finish(system, agent, tmp_path / "X.npz")


@pytest.mark.timeout(150)
def test_a_system_that_ends_asks_a_connected_agent_and_knows_what_is_lost(system: System, agent: Agent) -> None:
    agent.start(system.bridge_port, speed="200", ends=False)
    assert wait_for(lambda: system.captured() > _TICKS, within_s=60), agent.log.read_text()[-3000:]

    assert system.process is not None
    system.process.send_signal(signal.SIGTERM)
    code, figures = system.wait(within_s=30)

    assert (code, figures["lost"], figures["stored_twice"], figures["unavailable"]) == (0, 0, 0, []), system.story()
    assert figures["captured"] > _TICKS
    assert agent.process is not None
    assert agent.process.poll() is None
    assert system.leftovers() == []


@pytest.mark.timeout(150)
def test_killed_agents_and_a_killed_bridge_lose_and_double_nothing(
    system: System, agent: Agent, tmp_path: Path
) -> None:
    rng = random.Random(11)
    agent.start(system.bridge_port, speed="90")
    for name in rng.sample(["agent", "bridge", "agent", "bridge"], 4):
        assert wait_for(partial(has_gone_on, system, system.captured()), within_s=60), agent.log.read_text()[-3000:]
        if name == "agent":
            agent.end()
            agent.start(system.bridge_port, speed="90")
        else:
            bridge = waited_for(partial(system.find, "manage.py bridge"), within_s=20)
            os.kill(bridge, signal.SIGKILL)
    assert wait_for(agent.has_ended, within_s=100), agent.log.read_text()[-3000:]

    assert agent.process is not None
    assert agent.process.returncode == 0, agent.log.read_text()[-3000:]
    finish(system, agent, tmp_path / "X.npz")
