"""A real bridge process on the tests' database, and a source with a token for it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

from ingest import coverage
from ingest.agent import watch
from ingest.bridge import session
from ingest.models import Batch, Lease
from tests.integration.bridge.local import LocalBridge
from tests.integration.embedded.conftest import wait_for
from tests.wire_client import Terminal, WireClient
from tickhub import agents
from tickhub.reference.models import Source

MANAGE = str(Path(__file__).resolve().parents[3] / "manage.py")
NOON_MSC = 1_772_452_800_000


class BridgeProcess:
    """One `manage.py bridge`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/ingest"

    def start(self) -> None:
        """Start it and wait until it answers."""
        name = connection.settings_dict["NAME"]
        environment = dict(os.environ) | {
            "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl(),
            "TICKHUB_LEASE_TTL_MS": "1000",
        }
        command = [sys.executable, MANAGE, "bridge", "--listen", f"127.0.0.1:{self.port}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        assert wait_for(self._answers, within_s=30), self._log.read_text()

    def _answers(self) -> bool:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/", timeout=1).close()
            return True
        return False

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """End it in order; return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20)

    def log(self) -> str:
        """What it said."""
        return self._log.read_text()


@dataclass
class Desk:
    """A source of an agent, with its token and the clients that a test has connected."""

    bridge: BridgeProcess | LocalBridge
    source: Source
    token: str
    clients: list[WireClient] = field(default_factory=list)

    def client(self, terminal: Terminal, *, uses_binary: bool = False, token: str | None = None) -> WireClient:
        """Connect a client."""
        made = WireClient(self.bridge.url, self.token if token is None else token, terminal, uses_binary=uses_binary)
        self.clients.append(made)
        return made

    def captured(self) -> int:
        """How many ticks are captured."""
        return sum(Batch.objects.filter(source=self.source).order_by("pk").values_list("tick_count", flat=True))

    def missing(self) -> int:
        """How many captured ticks batches have reported as no longer shown."""
        batches = Batch.objects.filter(source=self.source).order_by("pk")
        return sum(part["missing"] for batch in batches for part in batch.parts)

    def is_left(self) -> bool:
        """Whether no agent holds the source."""
        lease = Lease.objects.filter(source=self.source).first()
        return lease is None or lease.expires_at.year == 1970


@pytest.fixture(scope="session")
def shared_bridge(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """One bridge for all tests that leave it alone."""
    running = BridgeProcess(tmp_path_factory.mktemp("bridge") / "bridge.log")
    yield running
    assert running.stop() == 0, running.log()


@pytest.fixture
def own_bridge(database: None, tmp_path: Path) -> Iterator[BridgeProcess]:
    """A bridge that a test may kill."""
    running = BridgeProcess(tmp_path / "bridge.log")
    yield running
    running.kill()


@pytest.fixture
def local_bridge(database: None) -> Iterator[LocalBridge]:
    """A bridge within the tests' process."""
    with LocalBridge() as running:
        yield running


NewDesk = Callable[[BridgeProcess | LocalBridge], Desk]


@pytest.fixture
def new_desk(database: None) -> Iterator[NewDesk]:
    """Makes a source on a bridge; hangs its clients up in the end and waits until the bridge has noticed."""
    made: list[Desk] = []

    def make(bridge: BridgeProcess | LocalBridge) -> Desk:
        token = agents.issue(name="desk", clock="UTC", revokes_others=False)
        made.append(Desk(bridge, Source.objects.get(name="desk"), token))
        return made[-1]

    yield make
    for desk in made:
        for client in desk.clients:
            client.socket.close()
        assert wait_for(desk.is_left, within_s=20), desk.bridge.log()


@pytest.fixture
def desk(shared_bridge: BridgeProcess, new_desk: NewDesk) -> Desk:
    """A source on the shared bridge."""
    return new_desk(shared_bridge)


@pytest.fixture
def broker(local_bridge: LocalBridge) -> Desk:
    """A source whose clock is switched, on a bridge within the test's process."""
    token = agents.issue(name="broker", clock="NY+7", revokes_others=False)
    return Desk(local_bridge, Source.objects.get(name="broker"), token)


@pytest.fixture
def short_doubt(monkeypatch: pytest.MonkeyPatch) -> float:
    """Let histories that may still grow do so for a second instead of two minutes."""
    for module in (coverage, session, watch):
        monkeypatch.setattr(module, "DOUBT_S", 1.0)
    return 1.0
