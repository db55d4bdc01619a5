"""What an agent sends: all from its cursor on, by position, and nothing that it has told already."""

from types import SimpleNamespace

from ingest.agent.forward import Reader, cursor_after
from ingest.synchronising import Synchroniser
from ingest.wire.messages import Frame
from tests.builders import NOON_MSC, make_ticks
from tests.terminals import HandWrittenTerminal
from tickhub.core import ticks as tick_arrays


def reader(
    terminal: HandWrittenTerminal, *symbols: str, cursor: tuple[int, int] = (NOON_MSC, 0), page: int = 100
) -> Reader:
    synchroniser = Synchroniser(terminal=terminal)
    return Reader(terminal, symbols, [cursor] * len(symbols), page_ticks=page, synchroniser=synchroniser)


def told(frame: Frame | None) -> list[tuple[int, tuple[int, int], list[int]]]:
    """Index, cursor and milliseconds after noon of each part."""
    if frame is None:
        return []
    return [
        (p.index, (p.cursor[0] - NOON_MSC, p.cursor[1]), (p.ticks["time_msc"] - NOON_MSC).tolist()) for p in frame.parts
    ]


def test_the_ticks_of_the_cursors_millisecond_are_dropped_by_position() -> None:
    terminal = HandWrittenTerminal(
        history={"X": make_ticks([(3, 1.1, 1.2), (3, 1.1, 1.2), (3, 1.1, 1.2), (8, 1.1, 1.2)])}
    )

    own = reader(terminal, "X", cursor=(NOON_MSC + 3, 2))

    assert told(own.frame(NOON_MSC + 10)) == [(0, (3, 2), [3, 8])]
    assert own.frame(NOON_MSC + 11) is None


def test_a_tick_from_the_future_is_sent_once_and_again_when_something_follows() -> None:
    terminal = HandWrittenTerminal(history={"X": make_ticks([(500, 1.1, 1.2)])})
    own = reader(terminal, "X")

    assert told(own.frame(NOON_MSC + 100)) == [(0, (0, 0), [500])]
    assert own.frame(NOON_MSC + 150) is None
    terminal.history["X"] = make_ticks([(200, 1.1, 1.2), (500, 1.1, 1.2)])
    assert told(own.frame(NOON_MSC + 250)) == [(0, (0, 0), [200, 500])]
    assert told(own.frame(NOON_MSC + 600)) == [(0, (200, 1), [500])]
    assert own.feeds[0].cursor == (NOON_MSC + 500, 1)


def test_a_frame_is_cut_where_it_is_full_and_the_next_goes_on() -> None:
    rows = make_ticks([(i // 2, 1.1, 1.2) for i in range(7)])
    own = reader(HandWrittenTerminal(history={"X": rows, "Y": rows[:1]}), "X", "Y", page=3)

    frames = [own.frame(NOON_MSC + 10) for _ in range(4)]

    assert [told(frame) for frame in frames] == [
        [(0, (0, 0), [0, 0, 1])],
        [(0, (1, 1), [1, 2, 2])],
        [(0, (2, 2), [3]), (1, (0, 0), [0])],
        [],
    ]
    assert [frame.parts[0].is_cut for frame in frames if frame] == [True, True, False]


def test_a_failed_read_is_told_once_and_others_go_on() -> None:
    terminal = HandWrittenTerminal(history={"X": make_ticks([(0, 1.1, 1.2)])}, fails={"Y"})
    own = reader(terminal, "X", "Y")

    first, second = own.frame(NOON_MSC + 1), own.frame(NOON_MSC + 2)

    assert first is not None
    assert [part.error for part in first.parts] == [None, (-4, "Terminal: Not found")]
    assert second is None
    assert own.has_errors


def test_a_terminal_that_shows_nothing_of_what_it_showed_is_an_error() -> None:
    own = reader(HandWrittenTerminal(), "X", cursor=(NOON_MSC, 1))

    frame = own.frame(NOON_MSC + 1)

    assert frame is not None
    assert frame.parts[0].error == (0, "no row of those captured")


def test_after_a_refusal_it_goes_on_from_the_bridges_cursors() -> None:
    own = reader(HandWrittenTerminal(history={"X": make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.2)])}), "X")
    own.frame(NOON_MSC + 10)

    own.set_cursors([(0, NOON_MSC, 1)])

    assert told(own.frame(NOON_MSC + 10)) == [(0, (0, 1), [5])]


def test_the_next_cursor_counts_the_ticks_of_its_millisecond() -> None:
    ticks = make_ticks([(0, 1.1, 1.2), (4, 1.1, 1.2), (4, 1.1, 1.2), (9, 1.1, 1.2)])

    assert cursor_after((NOON_MSC, 2), ticks, NOON_MSC + 3) == (NOON_MSC, 3)
    assert cursor_after((NOON_MSC, 2), ticks, NOON_MSC + 4) == (NOON_MSC + 4, 2)
    assert cursor_after((NOON_MSC, 2), ticks, NOON_MSC - 1) == (NOON_MSC, 2)
    assert cursor_after((NOON_MSC, 2), tick_arrays.empty(), NOON_MSC + 4) == (NOON_MSC, 2)


class ToldNewest(HandWrittenTerminal):
    """A terminal that names its newest tick while its history is still being fetched."""

    def symbol_info_tick(self, symbol: str, /) -> SimpleNamespace:  # type: ignore[override]  # the other knows none
        return SimpleNamespace(time_msc=NOON_MSC + 8)


def test_a_history_that_does_not_reach_the_terminals_newest_tick_is_not_whole() -> None:
    terminal = ToldNewest(history={"X": make_ticks([(3, 1.1, 1.2)])})
    own = reader(terminal, "X")

    own.frame(NOON_MSC + 10)
    assert not own.is_whole
    terminal.history["X"] = make_ticks([(3, 1.1, 1.2), (8, 1.1, 1.2)])
    own.frame(NOON_MSC + 11)

    assert own.is_whole
