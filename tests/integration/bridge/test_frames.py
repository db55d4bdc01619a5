"""Frames: acknowledged after the commit, repeated ones as before, others refused; a slow database holds an agent up."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection
from websockets.exceptions import ConnectionClosed

from ingest.models import Batch
from tests.integration.bridge.conftest import NOON_MSC, BridgeProcess, Desk, NewDesk
from tests.integration.bridge.local import LocalBridge
from tests.integration.bridge.test_client_of_the_document import tick
from tests.integration.embedded.conftest import wait_for
from tests.wire_client import Terminal, WireClient
from tickhub.bench.torture.proxy import FaultProxy


def connected(desk: Desk, *, instance: str = "a", uses_binary: bool = True) -> WireClient:
    terminal = Terminal(["EURUSD"])
    terminal.now_msc = NOON_MSC + 60_000
    client = desk.client(terminal, uses_binary=uses_binary)
    client.hello(begins_msc=NOON_MSC, instance=instance)
    return client


def send(client: WireClient, number: int, cursor: list[int], *after_ms: int) -> None:
    """Send one frame of ticks, which the terminal shows from then on."""
    ticks = [tick(ms) for ms in after_ms]
    client.terminal.insert(0, ticks)
    client.send_frame(number, [{"index": 0, "cursor": cursor, "rows": ticks}])


@contextmanager
def locked_inbox() -> Iterator[None]:
    """Let no batch be committed meanwhile."""
    settings = connection.get_connection_params()
    parts = {name: settings[name] for name in ("dbname", "user", "password", "host", "port") if settings.get(name)}
    with psycopg.connect(**parts) as other:
        other.execute("LOCK TABLE ingest_batch IN SHARE MODE")
        yield


def test_a_repeated_frame_is_answered_as_before_over_a_new_connection_and_a_restarted_bridge(
    own_bridge: BridgeProcess, new_desk: NewDesk
) -> None:
    desk = new_desk(own_bridge)
    client = connected(desk)
    send(client, 1, [NOON_MSC, 0], 5, 5, 8)
    client.serve(lambda: len(client.answers) == 1)
    send(client, 2, [NOON_MSC + 8, 1], 12)
    client.serve(lambda: len(client.answers) == 2)

    client.socket.send(client.frames_sent[0])
    client.serve(lambda: len(client.answers) == 3)
    own_bridge.kill()
    own_bridge.start()
    again = connected(desk)
    again.terminal = client.terminal
    again.socket.send(client.frames_sent[0])
    again.serve(lambda: len(again.answers) == 1)

    first = {"type": "ack", "number": 1, "cursors": [[0, NOON_MSC + 8, 1]]}
    assert [client.answers[0], client.answers[2], again.answers[0]] == [first, first, first]
    assert desk.captured() == 4


def test_a_connection_cut_between_commit_and_acknowledgement_repeats_nothing(desk: Desk) -> None:
    with FaultProxy(("127.0.0.1", desk.bridge.port)) as proxy:
        terminal = Terminal(["EURUSD"])
        terminal.now_msc = NOON_MSC + 60_000
        url = desk.bridge.url.replace(str(desk.bridge.port), str(proxy.port))
        client = WireClient(url, desk.token, terminal, uses_binary=True)
        client.hello(begins_msc=NOON_MSC)
        with locked_inbox():
            send(client, 1, [NOON_MSC, 0], 5, 6)
            # The bridge has the frame once its commit waits for the lock.
            assert wait_for(is_somebody_waiting, within_s=10)
            proxy.deafen()
        assert wait_for(lambda: desk.captured() == 2, within_s=10)
        proxy.cut()
    again = desk.client(terminal)

    welcome = again.hello(begins_msc=NOON_MSC)
    again.socket.send(client.frames_sent[0])
    again.serve(lambda: len(again.answers) == 1)

    assert welcome["cursors"] == [[NOON_MSC + 6, 1]]
    assert again.answers == [{"type": "ack", "number": 1, "cursors": [[0, NOON_MSC + 6, 1]]}]
    assert desk.captured() == 2


def is_somebody_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ingest_batch'::regclass")
        return bool(cursor.fetchone()[0])


def test_after_a_slow_end_the_newest_connection_goes_on_and_one_cut_meanwhile_is_forgotten(
    local_bridge: LocalBridge, new_desk: NewDesk
) -> None:
    desk = new_desk(local_bridge)
    first = connected(desk)
    with locked_inbox():
        send(first, 1, [NOON_MSC, 0], 5, 6)
        assert wait_for(is_somebody_waiting, within_s=10)
        cut = desk.client(first.terminal)
        cut.say_hello(begins_msc=NOON_MSC)
        assert wait_for(lambda: local_bridge.seats == 2, within_s=10)
        cut.socket.close()
        assert wait_for(lambda: local_bridge.seats == 1, within_s=10)
        newest = desk.client(first.terminal)
        newest.say_hello(begins_msc=NOON_MSC)
        assert wait_for(lambda: local_bridge.seats == 2, within_s=10)

    assert newest.take_welcome()["cursors"] == [[NOON_MSC + 6, 1]]


def test_a_frame_that_starts_elsewhere_is_refused_with_the_cursors(desk: Desk) -> None:
    client = connected(desk)
    send(client, 1, [NOON_MSC, 0], 5)
    send(client, 2, [NOON_MSC + 5, 0], 5, 6)
    send(client, 3, [NOON_MSC + 5, 1], 7)

    client.serve(lambda: len(client.answers) == 3)

    kinds = [(answer["type"], answer["cursors"]) for answer in client.answers]
    assert kinds == [
        ("ack", [[0, NOON_MSC + 5, 1]]),
        ("refused", [[0, NOON_MSC + 5, 1]]),
        ("ack", [[0, NOON_MSC + 7, 1]]),
    ]


def test_nothing_is_acknowledged_before_the_commit_and_a_slow_database_drops_nobody(desk: Desk) -> None:
    client = connected(desk)
    with locked_inbox():
        for number in range(1, 21):
            send(client, number, [NOON_MSC + (number - 1) * 10, min(number - 1, 1)], number * 10)
        heard: list[str] = []
        while not heard:
            # The heartbeat comes all the while.
            heard = [m["type"] for m in map(json.loads, str(client.socket.recv(timeout=20)).splitlines())]
        assert heard == ["beat"]
        assert client.answers == []
        assert desk_is_empty(desk)

    client.serve(lambda: len(client.answers) == 20)

    assert [(answer["type"], answer["number"]) for answer in client.answers] == [("ack", n) for n in range(1, 21)]
    assert desk.captured() == 20


def desk_is_empty(desk: Desk) -> bool:
    return not Batch.objects.filter(source=desk.source).exists()


def test_a_failed_read_is_told_with_the_batch_and_moves_no_cursor(desk: Desk) -> None:
    client = connected(desk, uses_binary=False)
    client.send_frame(1, [{"index": 0, "cursor": [NOON_MSC, 0], "rows": [], "error": [-4, "Terminal: \0Not found"]}])

    client.serve(lambda: len(client.answers) == 1)

    assert client.answers[0]["cursors"] == [[0, NOON_MSC, 0]]
    assert Batch.objects.get().parts[0]["error"] == [-4, "Terminal: ?Not found"]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([tick(9), tick(8)], "in no order"),
        ([tick(-1)], "before its cursor"),
    ],
)
def test_ticks_that_do_not_follow_the_cursor_end_the_connection(desk: Desk, rows: list[object], reason: str) -> None:
    client = connected(desk)
    client.send_frame(1, [{"index": 0, "cursor": [NOON_MSC, 0], "rows": rows}])

    with pytest.raises(ConnectionClosed) as closed:
        client.serve(lambda: False)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4000
    assert reason in closed.value.rcvd.reason
