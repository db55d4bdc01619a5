"""What an agent tells of its terminal, and what it holds back and does not answer while the history is fetched."""

import pytest

from ingest import synchronising
from ingest.agent.answering import Answerer
from ingest.agent.forward import Reader
from ingest.agent.watch import Watch
from ingest.sources.terminal import Link
from ingest.wire.messages import Condition, DigestRequest, ReadRequest
from tests.builders import NOON_MSC, make_ticks
from tests.terminals import HandWrittenTerminal, LinkedSource
from tickhub.core import clock, digest
from tickhub.core import ticks as tick_arrays

BEFORE = make_ticks([(1_000, 1.0, 1.1), (2_000, 1.1, 1.2)])
MISSED = make_ticks([(4_000, 1.2, 1.3)])
LIVE = make_ticks([(9_000, 1.3, 1.4)])


class Desk:
    """A source, its watch and its reader, as a conversation uses them."""

    def __init__(self) -> None:
        self.terminal = HandWrittenTerminal(history={"EURUSD": BEFORE})
        self.source = LinkedSource(self.terminal, ("EURUSD",), now_msc=NOON_MSC, count=0)
        self.watch = Watch(self.source)
        self.reader = Reader(
            self.terminal,
            ["EURUSD"],
            [(NOON_MSC, 0)],
            page_ticks=100,
            synchroniser=self.watch.synchroniser,
        )

    def poll(self, *, at_ms: int) -> list[int]:
        """Return the milliseconds after noon that a poll sends."""
        now_msc = NOON_MSC + at_ms
        self.watch.look(now_msc, cursors_msc=[feed.cursor[0] for feed in self.reader.feeds])
        frame = self.reader.frame(now_msc)
        return [] if frame is None else (frame.parts[0].ticks["time_msc"] - NOON_MSC).tolist()

    def show(self, *rows: tick_arrays.Ticks) -> None:
        self.terminal.history["EURUSD"] = tick_arrays.join(list(rows))

    def lose_link(self) -> None:
        """Be seen connected once more, lose the broker, find it again: the first new tick is shown first."""
        self.poll(at_ms=3_000)
        self.source.link = Link.LINK_LOST
        self.poll(at_ms=6_000)
        self.source.link, self.source.count = Link.CONNECTED, self.source.count + 1
        self.show(BEFORE, LIVE)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_symbol_is_held_back_until_its_history_is_whole(desk: Desk) -> None:
    assert desk.poll(at_ms=2_500) == [1_000, 2_000]
    desk.lose_link()

    assert desk.poll(at_ms=10_000) == []
    desk.show(BEFORE, MISSED, LIVE)
    deadline_s = clock.monotonic_s() + 10
    sent: list[int] = []
    while not sent and clock.monotonic_s() < deadline_s:
        sent = desk.poll(at_ms=10_000)

    assert sent == [4_000, 9_000]


def test_condition_says_since_when_the_history_is_doubted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synchronising, "PAUSE_S", 0.0)
    desk.poll(at_ms=2_500)
    assert desk.watch.condition() == Condition()
    desk.lose_link()

    desk.poll(at_ms=10_000)

    # The poll at 3 s was the last that saw the terminal connected.
    assert desk.watch.condition() == Condition(doubted_msc=NOON_MSC + 3_000)
    while desk.watch.synchroniser.is_waiting:
        desk.poll(at_ms=10_100)
    desk.poll(at_ms=10_200)
    assert desk.watch.condition() == Condition()
    # Another connection to the bridge, shortly after: it may not have heard of it.
    desk.watch.repeat_doubt()
    assert desk.watch.condition() == Condition(doubted_msc=NOON_MSC + 3_000)


def test_terminal_just_connected_is_doubted_since_the_newest_tick_that_the_bridge_has(desk: Desk) -> None:
    desk.source.count = 1

    desk.poll(at_ms=2_500)

    assert desk.watch.condition().doubted_msc == NOON_MSC


def test_past_that_is_being_fetched_is_not_answered_for(desk: Desk) -> None:
    answerer = Answerer(desk.terminal, ("EURUSD",), desk.watch.synchroniser)
    period = (0, NOON_MSC, NOON_MSC + 5_000)
    desk.poll(at_ms=2_500)
    assert answerer.digests(DigestRequest(1, 0, (period,))).digests[0] == digest.of(BEFORE)
    desk.lose_link()
    desk.poll(at_ms=10_000)

    (answered,) = answerer.digests(DigestRequest(2, 0, (period,))).digests
    (read,) = answerer.rows(ReadRequest(3, *period))

    assert answered == (0, "the history is still being fetched")
    assert read.error == answered  # type: ignore[union-attr]  # a failure, or the test fails
