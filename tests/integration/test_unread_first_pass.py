"""Rows of an hour's first pass that were never captured are in doubt once the second has begun."""

import numpy as np
import pytest

from ingest.models import Batch
from ingest.sources.terminal import Link
from storage import reader
from tests import running
from tests.integration.test_clocks import AUTUMN_MSC, HOUR_MS, MINUTE_MS, flagged
from tests.scripted import Step, keep_time, make_run, play, quotes
from tickhub.core.flags import Flag
from tickhub.core.ticks import Ticks
from tickhub.epochs import Run
from tickhub.management.periods import EVER
from tickhub.reference import sources
from tickhub.reference.models import ClockEpoch, UnsurePass

pytestmark = pytest.mark.usefixtures("database")

# The repeated hour on the broker's clock: three hours ahead of UTC before the switch, two after it.
ZONE_MSC = AUTUMN_MSC + 2 * HOUR_MS


def history(until: float, first_until: float = 0) -> Ticks:
    """A tick of each minute from 80 minutes before the switch: 7 ms behind it where it is of the second pass."""
    first = [AUTUMN_MSC + 3 * HOUR_MS + minute * MINUTE_MS for minute in range(-80, 0) if minute <= first_until]
    second = [AUTUMN_MSC + 2 * HOUR_MS + minute * MINUTE_MS + 7 for minute in range(int(max(until, 0)))]
    return quotes(sorted(first + second))


def at(minute: float, **symbols: Ticks) -> Step:
    return Step(AUTUMN_MSC + int(minute * MINUTE_MS) + 500, symbols)


def misplaced(run: Run, symbol: str) -> tuple[list[int], list[int]]:
    """Minutes after the switch at which ticks of the first pass stand, and those of them that are not marked."""
    ticks = reader.read(feed_id=run.registered.feeds[symbol][0], from_msc=EVER[0], to_msc=EVER[1]).ticks
    times = ticks["time_msc"]
    wrong = times[(times >= AUTUMN_MSC) & (times % MINUTE_MS == 0)]
    unmarked = wrong[~np.isin(wrong, flagged(Flag.AMBIGUOUS_TIME))]
    return ((wrong - AUTUMN_MSC) // MINUTE_MS).tolist(), ((unmarked - AUTUMN_MSC) // MINUTE_MS).tolist()


def test_polls_of_a_terminal_without_its_broker_have_read_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    source, run = make_run("X", begins_msc=AUTUMN_MSC - 90 * MINUTE_MS)
    keep_time(source, monkeypatch)
    before = [at(minute, X=history(minute, first_until=minute)) for minute in (-52, -50)]
    old = {"X": history(-50, first_until=-50)}
    away = [Step(AUTUMN_MSC + minute * MINUTE_MS, old, link=Link.LINK_LOST) for minute in range(-49, 20)]
    back = [20 + i / 12 for i in range(40)] + [24 + i for i in range(5)]
    after = [Step(AUTUMN_MSC + int(m * MINUTE_MS), {"X": history(m)}, connections=1) for m in back]

    play(source, run, [*before, *away, *after])
    running.drain()

    wrong, unmarked = misplaced(run, "X")
    assert wrong == list(range(11, 22))
    assert unmarked == []


def test_only_the_feed_that_could_not_be_read_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    source, run = make_run("X", "Y", begins_msc=AUTUMN_MSC - 90 * MINUTE_MS)
    keep_time(source, monkeypatch)

    def step(minute: float, *, fails: str = "") -> Step:
        shown = history(minute, first_until=minute)
        return Step(AUTUMN_MSC + int(minute * MINUTE_MS) + 500, {"X": shown, "Y": shown}, fails=frozenset(fails))

    unread = [step(minute, fails="Y") for minute in [*range(-45, 0, 5), *range(6)]]
    play(source, run, [step(-51), *unread, *(step(minute) for minute in range(30, 36))])
    running.drain()

    assert misplaced(run, "X") == ([], [])
    wrong, unmarked = misplaced(run, "Y")
    assert len(wrong) > 0
    assert unmarked == []
    in_doubt = UnsurePass.objects.values_list("feed__symbol", "from_msc", "to_msc")
    assert list(in_doubt) == [("Y", ZONE_MSC, ZONE_MSC + HOUR_MS)]


def test_a_feed_that_begins_within_the_repeated_hour_is_in_doubt_from_there_on(monkeypatch: pytest.MonkeyPatch) -> None:
    source, run = make_run("X", begins_msc=AUTUMN_MSC + 10 * MINUTE_MS)
    keep_time(source, monkeypatch)

    play(source, run, [at(minute, X=history(minute)) for minute in range(10, 70, 3)])
    running.drain()

    wrong, unmarked = misplaced(run, "X")
    # The first pass from where the feed begins on, taken for the second: nobody could tell.
    assert wrong == list(range(10, 60))
    assert unmarked == []
    in_doubt = UnsurePass.objects.values_list("from_msc", "to_msc")
    assert list(in_doubt) == [(ZONE_MSC + 10 * MINUTE_MS, ZONE_MSC + HOUR_MS)]


def test_a_feed_that_begins_within_the_first_pass_is_in_doubt_up_to_there(monkeypatch: pytest.MonkeyPatch) -> None:
    source, run = make_run("X", begins_msc=AUTUMN_MSC - 30 * MINUTE_MS)
    keep_time(source, monkeypatch)

    minutes = [*range(-30, 0, 5), -0.02, *range(1, 70, 3)]
    play(source, run, [at(minute, X=history(minute, first_until=minute)) for minute in minutes])
    running.drain()

    wrong, unmarked = misplaced(run, "X")
    assert wrong == list(range(30))
    assert unmarked == []
    in_doubt = UnsurePass.objects.values_list("from_msc", "to_msc")
    assert list(in_doubt) == [(ZONE_MSC, ZONE_MSC + 30 * MINUTE_MS)]


def test_what_is_in_doubt_only_widens() -> None:
    _, run = make_run("X", begins_msc=AUTUMN_MSC)
    epoch = ClockEpoch.objects.get(starts_msc=AUTUMN_MSC)

    for stretch in ((20, 30), (25, 40), (10, 35)):
        sources.record_unsure(
            epoch_id=epoch.pk, feed_id=run.registered.feeds["X"][0], from_msc=stretch[0], to_msc=stretch[1]
        )

    assert list(UnsurePass.objects.values_list("from_msc", "to_msc")) == [(10, 40)]


def test_a_clock_that_is_set_back_after_the_switch_does_not_bring_the_first_pass_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, run = make_run("X", begins_msc=AUTUMN_MSC - 90 * MINUTE_MS)
    keep_time(source, monkeypatch)

    play(source, run, [at(m, X=history(m, first_until=m)) for m in (-50, -1, 0.01, 1, 3, 5)])
    # Ten minutes back; the history is the same.
    source.now_msc = AUTUMN_MSC - 5 * MINUTE_MS
    play(source, run, [at(m, X=history(5)) for m in (-5, -4.9, -4.8)])
    running.drain()

    parts = [part for batch in Batch.objects.order_by("pk") for part in batch.parts]
    assert (sum(part["count"] for part in parts), sum(part["missing"] for part in parts)) == (85, 0)
    # Nor is the second taken for what cannot be shown yet.
    assert [part["error"] for part in parts if part["error"]] == []
    assert misplaced(run, "X") == ([], [])


def test_ticks_of_the_second_pass_that_are_shown_late_among_those_of_the_first_are_captured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, run = make_run("X", begins_msc=AUTUMN_MSC - 90 * MINUTE_MS)
    keep_time(source, monkeypatch)
    first = [ZONE_MSC + ms for ms in range(0, 12_000, 100)]
    second = [ZONE_MSC + ms for ms in range(37, 8_000, 500)]

    def step(after_ms: int) -> Step:
        # Shown 300 ms after they are made.
        shown = [wall for wall in second if wall + 300 <= ZONE_MSC + after_ms]
        return Step(AUTUMN_MSC + after_ms, {"X": quotes(sorted(first + shown))})

    play(source, run, [step(ms) for ms in (-1_000, *range(50, 9_000, 250))])
    running.drain()

    ticks = reader.read(feed_id=run.registered.feeds["X"][0], from_msc=EVER[0], to_msc=EVER[1]).ticks
    after = ticks["time_msc"][ticks["time_msc"] >= AUTUMN_MSC]
    assert (after - AUTUMN_MSC).tolist() == list(range(37, 8_000, 500))
    assert (flagged(Flag.LATE), flagged(Flag.AMBIGUOUS_TIME)) == ([], [])
