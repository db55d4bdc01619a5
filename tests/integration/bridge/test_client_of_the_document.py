"""A client written from docs/wire.md alone delivers everything its terminal shows, once."""

import random
from collections import Counter

import pytest

from ingest import queries
from tests.integration.bridge.conftest import NOON_MSC, Desk
from tests.wire_client import Terminal, Tick
from tickhub.reference.models import Feed


def tick(after_ms: int, bid: float = 1.1, *, flags: int = 6) -> Tick:
    time_msc = NOON_MSC + after_ms
    return (time_msc // 1000, bid, bid + 0.0002, 0.0, 0, time_msc, flags, 0.0)


def captured(desk: Desk, symbol: str) -> Counter[Tick]:
    """Everything captured of a symbol, as records."""
    feed = Feed.objects.get(source=desk.source, symbol=symbol)
    found = queries.captured_between(source_id=desk.source.pk, from_msc=0, to_msc=1 << 60).get(feed.pk)
    return Counter(found.ticks.tolist()) if found else Counter()


@pytest.mark.parametrize("uses_binary", [False, True], ids=["JSON", "binary"])
def test_all_that_a_terminal_shows_arrives_once_late_and_equal_and_early_ticks_too(
    desk: Desk, uses_binary: bool
) -> None:
    terminal = Terminal(["EURUSD", "EURUSD.m"])
    rng = random.Random(5)
    client = desk.client(terminal, uses_binary=uses_binary)
    terminal.now_msc = NOON_MSC
    client.hello(begins_msc=NOON_MSC)

    for step in range(60):
        terminal.now_msc = NOON_MSC + step * 1000
        now_ms = step * 1000
        # Several in a millisecond, equal ones, one from the terminal's future.
        new = [tick(now_ms - rng.randrange(3), rng.choice([1.1, 1.2])) for _ in range(rng.randrange(12))]
        new = [t for t in new if t[5] >= NOON_MSC] + [tick(now_ms + 700, 1.5)]
        terminal.insert(rng.randrange(2), new)
        client.poll()
        client.serve(lambda: len(client.answers) > len(client.frames_sent) - 8)
        if step % 7 == 0:
            # Behind the cursor: within its last seconds, and long before.
            terminal.insert(0, [tick(max(now_ms - 2500, 0), 1.7, flags=134)])
            terminal.insert(1, [tick(now_ms // 2, 1.8)])
    terminal.now_msc += 2000
    client.poll()
    client.finish()

    assert {answer["type"] for answer in client.answers} == {"ack"}
    assert captured(desk, "EURUSD") == Counter(terminal.ticks[0])
    assert captured(desk, "EURUSD.m") == Counter(terminal.ticks[1])


def test_an_agent_that_connects_again_goes_on_where_the_bridge_says(desk: Desk) -> None:
    terminal = Terminal(["EURUSD"])
    terminal.now_msc = NOON_MSC + 10
    terminal.insert(0, [tick(3), tick(3), tick(9)])
    first = desk.client(terminal)
    first.hello(begins_msc=NOON_MSC)
    first.poll()
    first.serve(lambda: len(first.answers) == 1)
    first.socket.close()
    terminal.insert(0, [tick(9)])

    second = desk.client(terminal)
    welcome = second.hello(begins_msc=0)
    second.poll()
    second.finish()

    assert welcome["cursors"] == [[NOON_MSC + 9, 1]]
    assert captured(desk, "EURUSD") == Counter(terminal.ticks[0])
