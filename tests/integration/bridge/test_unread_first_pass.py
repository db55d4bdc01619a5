"""Rows of an hour's first pass that were never captured are in doubt once the second has begun, through an agent."""

import numpy as np
import pytest

from storage import reader
from tests import running as pipeline
from tests.integration.bridge.conftest import Desk
from tests.integration.embedded.conftest import wait_for
from tests.integration.test_clocks import AUTUMN_MSC, HOUR_MS, MINUTE_MS, flagged
from tests.wire_client import Terminal, WireClient
from tickhub.core.flags import Flag
from tickhub.management.periods import EVER
from tickhub.reference import queries as reference
from tickhub.reference.models import UnsurePass

pytestmark = pytest.mark.usefixtures("database")

BEGINS_MSC = AUTUMN_MSC - 95 * MINUTE_MS
# The repeated hour on the broker's clock.
ZONE = (AUTUMN_MSC + 2 * HOUR_MS, AUTUMN_MSC + 3 * HOUR_MS)


def show(client: WireClient, index: int, minutes: range) -> None:
    """Let a terminal show a tick of each minute around the switch; its price tells when it was made."""
    for minute in minutes:
        wall = AUTUMN_MSC + minute * MINUTE_MS + (3 * HOUR_MS if minute < 0 else 2 * HOUR_MS + 7)
        client.terminal.insert(index, [(wall // 1000, 1_000.0 + minute, 2_000.0, 0.0, 0, wall, 6, 0.0)])


def connect(desk: Desk, terminal: Terminal, minute: float, *, is_replay: bool = False) -> WireClient:
    """Say hello so many minutes after the switch; until it is read, the old epoch is the one under way."""
    client = desk.client(terminal)
    client.terminal.now_msc = AUTUMN_MSC + int(minute * MINUTE_MS) + 3 * HOUR_MS
    now_msc = client.terminal.now_msc - 3 * HOUR_MS
    client.hello(begins_msc=BEGINS_MSC, clock="NY+7", now_msc=now_msc, is_replay=is_replay)
    return client


def poll(client: WireClient) -> None:
    client.poll()
    acknowledged(client)


def acknowledged(client: WireClient) -> None:
    client.serve(lambda: len(client.answers) >= len(client.frames_sent))


def fail(client: WireClient, index: int) -> None:
    """Tell that a symbol could not be read."""
    part = {"index": index, "cursor": client.cursors[index], "rows": [], "error": [-4, "Terminal: Not found"]}
    client.send_frame(len(client.frames_sent) + 1, [part])
    acknowledged(client)


def end(client: WireClient) -> None:
    client.say(type="done")
    client.serve(lambda: client.is_settled)
    client.socket.close()
    pipeline.drain()


def misplaced(symbol: str) -> tuple[int, int]:
    """How many stored ticks of a symbol stand an hour from where they were made, and how many of these unmarked."""
    feed = reference.one_feed(symbol=symbol, source=None)
    ticks = reader.read(feed_id=feed.pk, from_msc=EVER[0], to_msc=EVER[1]).ticks
    made = AUTUMN_MSC // MINUTE_MS + np.rint(ticks["bid"] - 1_000).astype(np.int64)
    wrong = ticks["time_msc"][ticks["time_msc"] // MINUTE_MS != made]
    return len(wrong), int(np.count_nonzero(~np.isin(wrong, flagged(Flag.AMBIGUOUS_TIME))))


def test_a_frame_that_tells_an_error_has_read_nothing(broker: Desk) -> None:
    # Of a recording: after so long without a tick the bridge would doubt the history anyway.
    client = connect(broker, Terminal(["BTCUSD"]), -75, is_replay=True)
    show(client, 0, range(-90, -75))
    poll(client)
    client.socket.close()
    assert wait_for(broker.is_left, within_s=10)
    again = connect(broker, client.terminal, -5, is_replay=True)
    fail(again, 0)
    show(again, 0, range(-75, 20))
    again.terminal.now_msc = AUTUMN_MSC + 20 * MINUTE_MS + 3 * HOUR_MS
    poll(again)

    again.say(type="epoch_read", now_msc=again.terminal.now_msc)
    again.serve(lambda: again.welcomes == 2)
    poll(again)
    end(again)

    # The first pass up to 20 minutes and a little more into the hour was not read before the second got there.
    count, unmarked = misplaced("BTCUSD")
    assert count >= 20
    assert unmarked == 0
    in_doubt = UnsurePass.objects.values_list("from_msc", "to_msc")
    # The millisecond a minute ahead of the second pass is left to it as well.
    assert list(in_doubt) == [(ZONE[0], ZONE[0] + 21 * MINUTE_MS + 1)]


def test_a_symbol_that_is_left_unread_is_in_doubt_for_the_whole_hour_whatever_others_have_brought(
    broker: Desk,
) -> None:
    client = connect(broker, Terminal(["BTCUSD", "ETHUSD"]), -0.5)
    show(client, 0, range(-90, 0))
    show(client, 1, range(-90, -50))
    poll(client)
    client.terminal.now_msc = AUTUMN_MSC + 2 * MINUTE_MS + 3 * HOUR_MS
    fail(client, 1)

    seen_msc = AUTUMN_MSC - 50 * MINUTE_MS + 3 * HOUR_MS
    client.say(type="epoch_read", now_msc=client.terminal.now_msc, seen_msc=seen_msc)
    client.serve(lambda: client.welcomes == 2)
    # Half an hour later the other symbol can be read again.
    show(client, 1, range(-50, 30))
    client.terminal.now_msc = AUTUMN_MSC + 30 * MINUTE_MS + 2 * HOUR_MS
    poll(client)
    end(client)

    eth = UnsurePass.objects.get(feed__symbol="ETHUSD")
    assert (eth.from_msc, eth.to_msc) == ZONE
    count, unmarked = misplaced("ETHUSD")
    assert count >= 20
    assert unmarked == 0


def test_a_symbol_that_begins_within_the_repeated_hour_is_in_doubt_from_there_on(broker: Desk) -> None:
    begins_msc = AUTUMN_MSC + 10 * MINUTE_MS
    client = broker.client(Terminal(["BTCUSD"]))
    show(client, 0, range(-70, 0))
    client.terminal.now_msc = begins_msc + 2 * HOUR_MS
    client.hello(begins_msc=begins_msc, clock="NY+7", now_msc=begins_msc)

    for minute in range(11, 41):
        show(client, 0, range(minute - 1, minute))
        client.terminal.now_msc = AUTUMN_MSC + minute * MINUTE_MS + 2 * HOUR_MS
        poll(client)
    end(client)

    count, unmarked = misplaced("BTCUSD")
    assert count >= 30
    assert unmarked == 0
    in_doubt = UnsurePass.objects.values_list("from_msc", "to_msc")
    assert list(in_doubt) == [(ZONE[0] + 10 * MINUTE_MS, ZONE[1])]


def test_a_clock_that_is_set_back_after_the_switch_does_not_bring_the_first_pass_back(broker: Desk) -> None:
    client = connect(broker, Terminal(["BTCUSD"]), -0.01)
    show(client, 0, range(-70, 0))
    poll(client)
    client.say(type="epoch_read", now_msc=AUTUMN_MSC + 50 + 3 * HOUR_MS)
    client.serve(lambda: client.welcomes == 2)
    show(client, 0, range(5))
    client.terminal.now_msc = AUTUMN_MSC + 5 * MINUTE_MS + 2 * HOUR_MS
    poll(client)
    client.socket.close()
    assert wait_for(broker.is_left, within_s=10)

    again = broker.client(client.terminal)
    again.terminal.now_msc = AUTUMN_MSC - 5 * MINUTE_MS + 2 * HOUR_MS
    again.hello(begins_msc=BEGINS_MSC, clock="NY+7", now_msc=AUTUMN_MSC - 5 * MINUTE_MS)
    end(again)

    assert (broker.captured(), broker.missing()) == (75, 0)
    assert misplaced("BTCUSD") == (0, 0)
