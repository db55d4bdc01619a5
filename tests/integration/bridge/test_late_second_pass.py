"""Ticks of an hour's second pass that are shown a little after they are made, as a broker's always are."""

import pytest

from tests import running as pipeline
from tests.integration.bridge.conftest import Desk
from tests.integration.bridge.test_switched_clients import row
from tests.integration.test_clocks import AUTUMN_MSC, HOUR_MS, MINUTE_MS, flagged, stored
from tests.wire_client import Terminal, WireClient
from tickhub.core.flags import Flag

pytestmark = pytest.mark.usefixtures("database")

LATENCY_MS = 300
# When the ticks of the second pass are made, after the switch.
MADE_MS = [i * 500 + 37 for i in range(18)]


def acknowledged(client: WireClient) -> None:
    client.serve(lambda: len(client.answers) >= len(client.frames_sent))


def in_the_second_pass(desk: Desk, first_ms: range) -> WireClient:
    """A client that has captured the hour's first pass, made at times after its begin, and stands at the switch."""
    client = desk.client(Terminal(["BTCUSD"]), uses_binary=True)
    for i, ms in enumerate(first_ms):
        row(client, ms - HOUR_MS, 3, 60_000.0 + i)
    client.terminal.now_msc = AUTUMN_MSC - 1_000 + 3 * HOUR_MS
    client.hello(begins_msc=AUTUMN_MSC - 90 * MINUTE_MS, clock="NY+7", now_msc=AUTUMN_MSC - 1_000)
    client.poll()
    acknowledged(client)
    client.terminal.now_msc = AUTUMN_MSC + 50 + 3 * HOUR_MS
    client.say(type="epoch_read", now_msc=client.terminal.now_msc, seen_msc=AUTUMN_MSC - 50 + 3 * HOUR_MS)
    client.serve(lambda: client.welcomes == 2)
    return client


def poll_on(client: WireClient) -> None:
    """Poll every 250 ms until all that was made is shown."""
    made = list(enumerate(MADE_MS))
    for now_ms in range(250, MADE_MS[-1] + 2 * LATENCY_MS, 250):
        while made and made[0][1] + LATENCY_MS <= now_ms:
            i, ms = made.pop(0)
            row(client, ms, 2, 70_000.0 + i)
        client.terminal.now_msc = AUTUMN_MSC + now_ms + 2 * HOUR_MS
        client.poll()
        acknowledged(client)


def end(client: WireClient) -> None:
    """Say done; what lies ahead in the repeated hour could be sent with every poll, for ever."""
    client.say(type="done")
    client.serve(lambda: client.is_settled)
    client.socket.close()


def assert_in_its_place(client: WireClient) -> None:
    """The second pass is whole, at the times that it was made, and nothing of it is in doubt."""
    pipeline.drain()
    second = [(int(t["time_msc"]) - AUTUMN_MSC, float(t["bid"])) for t in stored() if t["bid"] >= 70_000]
    assert second == [(ms, 70_000.0 + i) for i, ms in enumerate(MADE_MS)]
    assert (flagged(Flag.LATE), flagged(Flag.AMBIGUOUS_TIME)) == ([], [])
    assert {answer["type"] for answer in client.answers} == {"ack"}


@pytest.mark.parametrize("every_ms", [100, 700], ids=["before every poll", "before some polls"])
def test_ticks_that_are_shown_where_the_agent_has_passed_already_are_asked_for(broker: Desk, every_ms: int) -> None:
    first_ms = range(0, 15_000, every_ms)
    client = in_the_second_pass(broker, first_ms)

    poll_on(client)

    client.serve(lambda: broker.captured() == len(first_ms) + len(MADE_MS))
    end(client)
    assert_in_its_place(client)
    assert broker.missing() == 0


def test_ticks_that_were_shown_late_are_captured_before_done_is_answered(broker: Desk) -> None:
    first_ms = range(0, 15_000, 100)
    client = in_the_second_pass(broker, first_ms)

    poll_on(client)
    end(client)

    assert broker.captured() == len(first_ms) + len(MADE_MS)
    assert_in_its_place(client)
