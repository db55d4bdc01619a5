"""A peer that does not read keeps neither its source nor its connection."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ingest.wire import limits
from tests.integration.bridge.conftest import NOON_MSC, Desk, NewDesk
from tests.integration.bridge.local import LocalBridge
from tests.integration.embedded.conftest import wait_for
from tests.wire_client import Terminal, WireClient
from tickhub import agents


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.bridge.app._CHECK_TOKENS_S", 0.2)


@pytest.fixture
def impatient_bridge(database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalBridge]:
    """A bridge whose system, and nobody else, gives a peer up after a second."""
    with monkeypatch.context() as patch:
        patch.setattr(limits, "DEAD_S", 1)
        bridge = LocalBridge()
    with bridge:
        yield bridge


class DeafClient(WireClient):
    """A client that says hello, and reads no answer to what it sends then."""

    def __init__(self, bridge: LocalBridge, token: str) -> None:
        self.terminal = Terminal([f"S{number}" for number in range(100)])
        self.terminal.now_msc = NOON_MSC
        self.uses_binary = False
        self.frames_sent, self.answers = [], []
        self.bare = socket.socket()
        self.bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.bare.connect(("127.0.0.1", bridge.port))
        headers = {"Authorization": f"Bearer {token}"}
        self.socket = connect(
            bridge.url, sock=self.bare, additional_headers=headers, compression=None, max_queue=1, close_timeout=0.1
        ).__enter__()

    def stop_reading(self, bridge: LocalBridge) -> None:
        """Ask for answers until no more of them fits anywhere."""
        for number in range(200):
            self.send_frame(number, [{"index": 0, "cursor": [1, 0], "rows": []}])
            if bridge.is_blocked:
                break
        assert wait_for(lambda: bridge.is_blocked, within_s=10)


@pytest.fixture
def deaf_desk(local_bridge: LocalBridge, new_desk: NewDesk) -> Desk:
    return new_desk(local_bridge)


def deaf(desk: Desk, bridge: LocalBridge) -> DeafClient:
    client = DeafClient(bridge, desk.token)
    desk.clients.append(client)
    client.hello(begins_msc=NOON_MSC, instance="thief")
    client.stop_reading(bridge)
    return client


def sits_down(desk: Desk, *, instance: str) -> bool:
    """Whether an agent is welcome."""
    terminal = Terminal(["EURUSD"])
    terminal.now_msc = NOON_MSC
    client = desk.client(terminal)
    with contextlib.suppress(ConnectionClosed):
        return client.hello(begins_msc=NOON_MSC, instance=instance)["type"] == "welcome"
    return False


def test_a_peer_that_does_not_read_loses_its_source_with_its_token(deaf_desk: Desk, local_bridge: LocalBridge) -> None:
    deaf(deaf_desk, local_bridge)

    deaf_desk.token = agents.issue(name="desk", clock=None, revokes_others=True)

    assert wait_for(lambda: sits_down(deaf_desk, instance="rightful"), within_s=10)


def test_a_peer_that_does_not_read_is_replaced_at_once(deaf_desk: Desk, local_bridge: LocalBridge) -> None:
    deaf(deaf_desk, local_bridge)

    assert sits_down(deaf_desk, instance="thief")


def test_the_connection_of_a_peer_that_does_not_read_goes(impatient_bridge: LocalBridge, new_desk: NewDesk) -> None:
    deaf(new_desk(impatient_bridge), impatient_bridge)

    assert wait_for(lambda: not impatient_bridge.server.server_state.connections, within_s=10)
