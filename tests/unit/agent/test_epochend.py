"""When an agent says that an epoch of its terminal's clock is read: never before all of it is."""

import pytest

from ingest.agent.epochend import EpochEnd
from ingest.agent.forward import Reader
from ingest.agent.watch import Watch
from ingest.sources.terminal import Link
from ingest.wire.messages import EpochRead, WireEpoch
from tests.builders import NOON_MSC, make_ticks
from tests.terminals import HandWrittenTerminal, LinkedSource
from tickhub.core import clock

HOUR_MS = 3_600_000
# An hour ahead of UTC, up to noon by its own reckoning.
EPOCH = WireEpoch(offset_ms=HOUR_MS, ends_msc=NOON_MSC, until_msc=NOON_MSC, mixed_until_msc=None)


class Desk:
    """A source of two symbols, as a conversation uses it at the end of an epoch."""

    def __init__(self, *, connections: int = 0) -> None:
        rows = make_ticks([(-9_000, 1.0, 1.1)])
        self.terminal = HandWrittenTerminal(history={"X": rows, "Y": rows})
        self.source = LinkedSource(self.terminal, ("X", "Y"), now_msc=NOON_MSC, count=connections)
        self.watch = Watch(self.source)
        begins = [(NOON_MSC - 60_000, 0)] * 2
        self.reader = Reader(
            self.terminal,
            ["X", "Y"],
            begins,
            page_ticks=100,
            synchroniser=self.watch.synchroniser,
            epoch=EPOCH,
        )
        self.end = EpochEnd(EPOCH, self.reader, self.watch, self.source)

    def poll(self, after_ms: int) -> EpochRead | None:
        """Poll so long after the end; return what is said then."""
        now_msc = NOON_MSC + after_ms
        cursors_msc = [feed.cursor[0] - HOUR_MS for feed in self.reader.feeds]
        self.watch.look(now_msc - HOUR_MS, cursors_msc=cursors_msc)
        frame = self.reader.frame(now_msc)
        self.end.note_poll(now_msc)
        return self.end.look(now_msc, is_idle=True) if frame is None else None


def test_the_end_is_said_once_a_poll_after_it_finds_nothing_more() -> None:
    desk = Desk()

    said = [desk.poll(ms) for ms in (-5_000, -50, 10)]
    desk.terminal.history["X"] = make_ticks([(-9_000, 1.0, 1.1), (-1, 1.0, 1.1)])
    late = [desk.poll(ms) for ms in (20, 30)]

    assert said == [None, None, EpochRead(NOON_MSC + 10, NOON_MSC - 50)]
    assert late == [None, EpochRead(NOON_MSC + 30, NOON_MSC - 50)]


def test_without_its_broker_a_terminal_has_shown_nothing_to_its_end() -> None:
    desk = Desk()
    desk.poll(-5_000)
    desk.source.link = Link.LINK_LOST

    lost = [desk.poll(ms) for ms in (-50, 10, 20)]
    desk.source.link = Link.CONNECTED

    assert lost == [None, None, None]
    # What was seen last was seen before the link was lost.
    assert desk.poll(30) == EpochRead(NOON_MSC + 30, NOON_MSC - 5_000)


def test_a_history_agrees_once_more_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [clock.monotonic_s()]
    monkeypatch.setattr(clock, "monotonic_s", lambda: seconds[0])
    desk = Desk(connections=1)

    def polls(*after_ms: int) -> list[EpochRead | None]:
        found = []
        for ms in after_ms:
            seconds[0] += 0.3
            found.append(desk.poll(ms))
        return found

    polls(*range(-5_000, -2_000, 300))
    # Two minutes since the connection, in which it was looked at.
    for _ in range(3):
        seconds[0] += 50
        polls(-2_300)

    # Doubted at the first poll after the end; what appears meanwhile makes two reads differ.
    first = polls(10, 310)
    desk.terminal.history["X"] = make_ticks([(-9_000, 1.0, 1.1), (-8_000, 1.0, 1.1)])
    then = polls(610, 910, 1_210, 1_510)

    assert first == [None, None]
    assert then[:2] == [None, None]
    assert then[-1] == EpochRead(NOON_MSC + 1_510, NOON_MSC - 2_300)
    assert desk.reader.feeds[0].cursor == (NOON_MSC - 8_000, 1)


def test_the_end_is_not_said_while_the_history_may_still_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [clock.monotonic_s()]
    monkeypatch.setattr(clock, "monotonic_s", lambda: seconds[0])
    desk = Desk(connections=1)
    said = []
    # The same at every look, for two minutes, but for an old row that appears in their midst.
    for number in range(400):
        seconds[0] += 0.3
        if number == 200:
            desk.terminal.history["X"] = make_ticks([(-9_000, 1.0, 1.1), (-8_000, 1.0, 1.1)])
        said.append(desk.poll(10 + number))

    assert said[:398] == [None] * 398
    assert desk.reader.feeds[0].cursor == (NOON_MSC - 8_000, 1)


def test_a_symbol_that_alone_cannot_be_read_is_waited_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    desk.poll(-5_000)
    desk.terminal.fails = {"Y"}
    begun_s = clock.monotonic_s()
    for ms in (10, 20, 30):
        assert desk.poll(ms) is None

    monkeypatch.setattr(clock, "monotonic_s", lambda: begun_s + 61)

    assert desk.poll(40) == EpochRead(NOON_MSC + 40, NOON_MSC - 5_000)


def test_where_nothing_can_be_read_the_end_is_not_said_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    desk.poll(-5_000)
    desk.terminal.fails = {"X", "Y"}
    begun_s = clock.monotonic_s()
    desk.poll(10)

    monkeypatch.setattr(clock, "monotonic_s", lambda: begun_s + 10_000)

    assert [desk.poll(ms) for ms in (20, 30)] == [None, None]
