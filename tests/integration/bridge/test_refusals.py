"""Whom the bridge refuses, with which code and reason; no token and no account number is ever logged."""

import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ingest.bridge import registering, tokens
from ingest.models import AgentToken, Batch
from tests.integration.bridge.conftest import NOON_MSC, Desk
from tests.integration.embedded.conftest import wait_for
from tests.wire_client import HEAD, PART, Json, Terminal, WireClient
from tickhub import agents
from tickhub.core.errors import UsageError
from tickhub.reference.models import ClockCorrection

SYMBOL = {"digits": 5, "is_quoted": True, "begins_msc": NOON_MSC}


def closing(client: WireClient, act: Callable[[], object] = lambda: None) -> tuple[int, str]:
    """Return code and reason with which the bridge closes after an action."""

    def act_and_listen() -> None:
        act()
        client.serve(lambda: False)

    with pytest.raises(ConnectionClosed) as closed:
        act_and_listen()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def terminal() -> Terminal:
    made = Terminal(["EURUSD"])
    made.now_msc = NOON_MSC
    return made


@pytest.mark.parametrize("token", ["", "tickhub_wrong"])
def test_an_unknown_token_is_refused(desk: Desk, token: str) -> None:
    client = desk.client(terminal(), token=token)

    assert closing(client) == (4001, "the token is unknown or revoked")


def test_a_token_revoked_meanwhile_ends_the_connection(desk: Desk) -> None:
    client = desk.client(terminal())
    client.hello(begins_msc=NOON_MSC)

    agents.revoke(name="desk")

    assert closing(client) == (4001, "the token was revoked")


def test_the_database_holds_only_the_tokens_hash(desk: Desk) -> None:
    row = AgentToken.objects.get()

    assert desk.token not in {str(value) for value in vars(row).values()}
    assert tokens.find(token=desk.token) == row
    assert desk.token not in desk.bridge.log()


@pytest.mark.parametrize(
    ("changed", "code", "reason"),
    [
        ({"protocol": 2}, 4002, "protocol 2 is not spoken here, this bridge speaks 1"),
        ({"offset_ms": 3_600_000}, 4003, "the agent's clock is 3600000 ms from UTC, that of desk 0 ms"),
        (
            {"symbols": [dict(SYMBOL, symbol=symbol, instrument="EURUSD") for symbol in ("EURUSD", "EURUSD.m")]},
            4000,
            "hello: symbols: two would be the same instrument",
        ),
        ({"priority": 40_000}, 4000, "message: priority: expected a whole number from 0 to 32767"),
        ({"symbols": []}, 4000, "hello: symbols: expected at least one, each once"),
        ({"now_msc": "now"}, 4000, "message: now_msc: expected a whole number from -62135596800000 to 253402300800000"),
        ({"type": "beat"}, 4000, "the first message has to be one hello"),
        (
            {"type": "help"},
            4000,
            "type: expected one of hello, frame, digests, rows, failed, beat, facts, epoch_read, done, validate",
        ),
    ],
)
def test_a_hello_that_does_not_fit_is_refused_in_one_line(
    desk: Desk,
    changed: dict[str, Any],  # Any: JSON
    code: int,
    reason: str,
) -> None:
    client = desk.client(terminal())

    assert closing(client, lambda: client.hello(begins_msc=NOON_MSC, **changed)) == (code, reason)


FAR_MSC = 4_102_444_800_000
FAR_AHEAD = (4003, "the agent's time is 2100-01-01T00:00:00.000Z, over a day ahead of this machine's")


def test_a_clock_far_ahead_in_the_hello_is_refused(desk: Desk) -> None:
    client = desk.client(terminal())

    assert closing(client, lambda: client.hello(begins_msc=NOON_MSC, now_msc=FAR_MSC)) == FAR_AHEAD


@pytest.mark.parametrize("message", [{"type": "beat"}, {"type": "frame", "number": 1, "parts": []}])
def test_a_clock_that_runs_far_ahead_ends_the_connection_and_nothing_is_captured(desk: Desk, message: Json) -> None:
    client = desk.client(terminal())
    client.hello(begins_msc=NOON_MSC)

    assert closing(client, lambda: client.say(now_msc=FAR_MSC, **message)) == FAR_AHEAD
    assert Batch.objects.count() == 0


def test_a_recordings_clock_is_its_own(desk: Desk) -> None:
    client = desk.client(terminal())
    client.terminal.now_msc = FAR_MSC

    assert client.hello(begins_msc=FAR_MSC, is_replay=True)["type"] == "welcome"
    client.finish()


def test_a_symbol_longer_than_a_terminal_has_is_refused(desk: Desk) -> None:
    client = desk.client(Terminal(["X" * 31]))

    code, reason = closing(client, lambda: client.hello(begins_msc=NOON_MSC))

    assert (code, reason) == (4000, "message: symbols[0]: symbol: expected a text of 1 to 30 printable characters")


def test_an_agent_on_another_server_than_the_source_is_refused(desk: Desk) -> None:
    first = desk.client(terminal())
    first.hello(begins_msc=NOON_MSC)
    first.finish()
    second = desk.client(terminal())

    code, reason = closing(second, lambda: second.hello(begins_msc=NOON_MSC, server="Other-Demo"))

    assert (code, reason) == (4003, "source desk is of server Broker-Demo, not Other-Demo")


def test_of_two_agents_on_one_source_one_is_refused(desk: Desk) -> None:
    first = desk.client(terminal())
    first.hello(begins_msc=NOON_MSC, instance="a")
    second = desk.client(terminal())

    assert closing(second, lambda: second.hello(begins_msc=NOON_MSC, instance="b")) == (
        4009,
        "another agent sends this source's ticks",
    )
    first.finish()


def test_no_agent_is_taken_before_a_correction_of_its_clock_is_finished(desk: Desk) -> None:
    correction = ClockCorrection.objects.create(
        source=desk.source, epochs_before=[], epochs_after=[], made=[], days=[], state="RUNNING"
    )
    early = desk.client(terminal())

    refused = closing(early, lambda: early.hello(begins_msc=NOON_MSC))
    correction.delete()
    late = desk.client(terminal())
    welcome = late.hello(begins_msc=NOON_MSC)

    assert refused == (registering.CORRECTING, "source desk: a correction of its clock is not finished")
    assert welcome["type"] == "welcome"
    late.finish()


def test_a_new_connection_of_the_same_agent_takes_over(desk: Desk) -> None:
    first = desk.client(terminal())
    first.hello(begins_msc=NOON_MSC, instance="a")
    second = desk.client(terminal())

    second.hello(begins_msc=NOON_MSC, instance="a")

    assert closing(first) == (4010, "a newer connection of this agent took over")
    second.finish()


def bomb(size: int) -> bytes:
    return zlib.compress(bytes(size))


def message(body: bytes, *, size: int, flags: int = 1, parts: int = 1) -> bytes:
    return HEAD.pack(1, flags, parts, size, 1, NOON_MSC) + body


@pytest.mark.parametrize(
    ("raw", "code", "reason"),
    [
        (message(bomb(100_000_000), size=1000), 1009, "compressed body holds more than the 1000 bytes declared"),
        (message(bomb(100), size=1 << 31), 1009, "body of 2147483648 bytes, at most 4194304 are allowed"),
        (message(b"no zlib", size=100), 4000, "compressed body is no zlib stream"),
        (message(PART.pack(0, 0, 0, 9, 0, 0, 0, 0), size=26, flags=0), 4000, "message 1: part 0 declares 9 ticks"),
        (b"\1", 4000, "binary message of 1 bytes: the head has 24"),
        (struct.pack("<BB", 9, 0) + bytes(22), 4000, "binary message of kind 9 with flags 0"),
        ("[" * 100_000, 4000, "text message: a line is no JSON"),
        ('{"type":"frame","number":1,"now_msc":1,"parts":[{}]}', 4000, "message: parts[0]: cursor"),
    ],
)
def test_a_malformed_message_ends_the_connection_with_its_reason(
    desk: Desk, raw: str | bytes, code: int, reason: str
) -> None:
    client = desk.client(terminal())
    client.hello(begins_msc=NOON_MSC)

    found, why = closing(client, lambda: client.socket.send(raw))

    assert found == code
    assert why.startswith(reason)


def test_a_message_larger_than_allowed_is_not_read(desk: Desk) -> None:
    client = desk.client(terminal())
    client.hello(begins_msc=NOON_MSC)

    def send_and_listen() -> None:
        client.socket.send(bytes(4_194_305))
        client.serve(lambda: False)

    with pytest.raises(ConnectionClosed) as closed:
        send_and_listen()

    # What was sent and is not read may reset the connection before the close frame is seen.
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    assert Batch.objects.count() == 0


def test_another_path_is_no_websocket(desk: Desk) -> None:
    with pytest.raises(InvalidStatus):
        WireClient(desk.bridge.url.replace("ingest", "other"), desk.token, terminal(), uses_binary=False)


def test_a_new_source_without_a_clock_is_refused(database: None) -> None:
    with pytest.raises(UsageError, match="--clock is required"):
        agents.issue(name="new", clock=None, revokes_others=False)


def test_messages_of_several_lines_are_taken_one_by_one(desk: Desk) -> None:
    client = desk.client(terminal())
    client.hello(begins_msc=NOON_MSC)
    beat = json.dumps({"type": "beat", "now_msc": NOON_MSC})

    client.socket.send(f"{beat}\n\n{beat}\n")

    client.finish()


def test_who_says_no_hello_is_not_waited_for(desk: Desk) -> None:
    client = desk.client(terminal())

    with pytest.raises(ConnectionClosed) as closed:
        client.socket.recv(timeout=20)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4004, "no hello within 10 s")


def test_an_agent_that_has_gone_silent_is_given_up_and_its_source_is_free(desk: Desk) -> None:
    client = desk.client(terminal())
    client.hello(begins_msc=NOON_MSC)

    def only_listen() -> None:
        while True:
            client.socket.recv(timeout=20)

    with pytest.raises(ConnectionClosed) as closed:
        only_listen()

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4004, "nothing heard for 15 s")
    assert wait_for(desk.is_left, within_s=10)
