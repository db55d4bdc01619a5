"""What an agent sends: all from its cursor on, by position, and nothing that it has told already."""

from types import SimpleNamespace

from ingest.agent.forward import Reader
from ingest.synchronising import Synchroniser
from ingest.wire import cursors
from ingest.wire.messages import Frame, WireEpoch
from tests.builders import NOON_MSC, make_ticks
from tests.terminals import HandWrittenTerminal
from tickhub.core import ticks as tick_arrays


def reader(
    terminal: HandWrittenTerminal,
    *symbols: str,
    cursor: tuple[int, int] = (NOON_MSC, 0),
    page: int = 100,
    epoch: WireEpoch | None = None,
) -> Reader:
    synchroniser = Synchroniser(terminal=terminal)
    begins = [cursor] * len(symbols)
    return Reader(terminal, symbols, begins, page_ticks=page, synchroniser=synchroniser, epoch=epoch)


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

    assert cursors.after((NOON_MSC, 2), ticks, NOON_MSC + 3) == (NOON_MSC, 3)
    assert cursors.after((NOON_MSC, 2), ticks, NOON_MSC + 4) == (NOON_MSC + 4, 2)
    assert cursors.after((NOON_MSC, 2), ticks, NOON_MSC - 1) == (NOON_MSC, 2)
    assert cursors.after((NOON_MSC, 2), tick_arrays.empty(), NOON_MSC + 4) == (NOON_MSC, 2)


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


def test_ticks_behind_the_end_of_an_epoch_are_not_sent_and_are_no_backlog() -> None:
    epoch = WireEpoch(offset_ms=0, ends_msc=NOON_MSC + 4_000, until_msc=NOON_MSC + 5_000, mixed_until_msc=None)
    rows = make_ticks([(ms, 1.1, 1.2) for ms in (3_000, 4_999, 5_000, 6_000)])
    own = reader(HandWrittenTerminal(history={"X": rows}), "X", page=3, epoch=epoch)

    assert told(own.frame(NOON_MSC + 9_000)) == [(0, (0, 0), [3_000, 4_999])]
    assert not own.is_behind
    assert own.frame(NOON_MSC + 9_001) is None


def test_while_two_epochs_are_mixed_ticks_are_sent_no_further_than_two_seconds_ahead() -> None:
    epoch = WireEpoch(offset_ms=0, ends_msc=None, until_msc=None, mixed_until_msc=NOON_MSC + 60_000)
    rows = make_ticks([(ms, 1.1, 1.2) for ms in (900, 3_000, 3_001, 59_000, 61_000)])
    own = reader(HandWrittenTerminal(history={"X": rows}), "X", epoch=epoch)

    assert told(own.frame(NOON_MSC + 1_000)) == [(0, (0, 0), [900, 3_000])]
    assert told(own.frame(NOON_MSC + 1_001)) == [(0, (900, 1), [3_000, 3_001])]
    # From here on what lies ahead can be of no earlier epoch.
    assert told(own.frame(NOON_MSC + 58_000)) == [(0, (900, 1), [3_000, 3_001, 59_000, 61_000])]


def test_a_page_that_ends_at_the_cursors_second_is_read_on_though_it_is_mixed() -> None:
    epoch = WireEpoch(offset_ms=0, ends_msc=None, until_msc=None, mixed_until_msc=NOON_MSC + 60_000)
    rows = make_ticks([(ms, 1.1, 1.2) for ms in range(0, 3_000, 500)])
    own = reader(HandWrittenTerminal(history={"X": rows}), "X", page=4, epoch=epoch)

    assert told(own.frame(NOON_MSC + 5_000)) == [(0, (0, 0), [0, 500, 1_000, 1_500])]
    assert own.is_behind
    assert told(own.frame(NOON_MSC + 5_000)) == [(0, (1_500, 1), [2_000, 2_500])]
