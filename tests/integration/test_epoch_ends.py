"""An epoch of the clock is read to its end before the next begins, whatever fails at the switch."""

from collections.abc import Iterable

import pytest
from django.db import OperationalError

from ingest import leases, queries
from ingest.models import Backfill, Batch
from ingest.sources.terminal import Link
from quality.models import Finding, Incident
from tests import running
from tests.away import away
from tests.integration.test_clocks import AUTUMN_MSC, HOUR_MS, SPRING_MSC
from tests.scripted import Step, keep_time, make_run, play, quotes
from tickhub import registering
from tickhub.core.ticks import Int64s
from tickhub.epochs import Run

pytestmark = pytest.mark.usefixtures("database")

SECOND_MS, MINUTE_MS = 1_000, 60_000
# The broker's clock: two hours ahead of UTC before the switch, three after it.
OLD_MS, NEW_MS = 2 * HOUR_MS, 3 * HOUR_MS


def old(*after_ms: int) -> list[int]:
    """Times of the old epoch on the broker's clock, in milliseconds after the switch."""
    return [SPRING_MSC + OLD_MS + ms for ms in after_ms]


def new(*after_ms: int) -> list[int]:
    """Times of the new epoch on the broker's clock, in milliseconds after the switch."""
    return [SPRING_MSC + NEW_MS + ms for ms in after_ms]


def captured(run: Run, symbol: str = "X") -> list[int]:
    """UTC times of what was captured of a feed, in milliseconds after the switch."""
    found = queries.captured_between(
        source_id=run.registered.source_id, from_msc=0, to_msc=1 << 62, feed_id=run.registered.feeds[symbol][0]
    )
    if not found:
        return []
    (feed,) = found.values()
    before = feed.ticks["time_msc"] < SPRING_MSC + NEW_MS
    utc: Int64s = feed.ticks["time_msc"] - before * OLD_MS - ~before * NEW_MS
    return sorted((utc - SPRING_MSC).tolist())


# Every ten minutes from 170 minutes before the switch.
OLD_ROWS = [minute * MINUTE_MS for minute in range(-170, 0, 10)]


def at(after_ms: int, *symbols: str, shows: slice = slice(None), fails: str = "", **state: object) -> Step:
    """A poll so long after the switch that shows some rows of the old epoch, and one of the new for each second."""
    walls = old(*OLD_ROWS[shows]) + new(*live(after_ms))
    history = {symbol: quotes(walls) for symbol in symbols or ("X",)}
    return Step(SPRING_MSC + after_ms, history, fails=frozenset(fails), **state)  # type: ignore[arg-type]  # as given


def live(until_ms: int) -> Iterable[int]:
    """The rows of the new epoch: one for each second from 200 minutes after the switch."""
    return range(200 * MINUTE_MS, until_ms, SECOND_MS)


def the_present(count: int, *symbols: str, connections: int = 0) -> list[Step]:
    """Polls of a terminal that shows everything, one for each second from 200 minutes after the switch."""
    return [at(200 * MINUTE_MS + i * SECOND_MS + 1, *symbols, connections=connections) for i in range(count)]


def two_minutes(*symbols: str, connections: int = 0) -> list[Step]:
    """Polls of a terminal that shows all of the old epoch, for as long as its history may grow after a connection."""
    return [at(190 * MINUTE_MS + i * 5 * SECOND_MS, *symbols, connections=connections) for i in range(30)]


def test_a_tick_of_the_old_epoch_that_the_last_look_finds_does_not_end_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    source, run = make_run("X", begins_msc=SPRING_MSC - 10 * MINUTE_MS)
    keep_time(source, monkeypatch)
    seen = old(-5_000, -3_000, -1_000)
    straggler = [*seen, *old(-30)]
    after = new(*range(61_000, 66_000, SECOND_MS))
    times = [(-4_000, seen[:1]), (-500, seen), (20, seen), (25, straggler), (60, straggler)]
    times += [(61_500 + i * 1_000, straggler + after[: i + 1]) for i in range(5)]

    play(source, run, [Step(SPRING_MSC + when, {"X": quotes(shown)}) for when, shown in times])

    assert source.steps == []
    assert captured(run) == [-5_000, -3_000, -1_000, -30, 61_000, 62_000, 63_000, 64_000, 65_000]


@pytest.mark.parametrize("is_ipc", [False, True], ids=["link lost", "nothing can be read"])
def test_an_epoch_that_ends_while_the_terminal_is_not_reached_is_read_when_it_is(
    is_ipc: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, run = make_run("X", begins_msc=SPRING_MSC - 3 * HOUR_MS)
    keep_time(source, monkeypatch)
    fails, link = ("X", Link.IPC_LOST) if is_ipc else ("", Link.LINK_LOST)
    away = [at(minute * MINUTE_MS, shows=slice(2), fails=fails, link=link) for minute in range(-140, 180, 20)]

    play(source, run, [at(-150 * MINUTE_MS, shows=slice(2)), *away, *two_minutes(), *the_present(10)])

    assert captured(run) == [*OLD_ROWS, *live(200 * MINUTE_MS + 9_001)]
    assert Incident.objects.count() == 0


def test_an_epoch_that_has_ended_is_not_left_while_its_history_is_being_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, run = make_run("X", begins_msc=SPRING_MSC - 3 * HOUR_MS)
    keep_time(source, monkeypatch)
    # Back ten minutes after the switch: for 80 s the terminal shows its newest rows only, sometimes one more of them.
    fetching = [at(10 * MINUTE_MS + i * 500, shows=slice(12 + i % 2, None), connections=1) for i in range(160)]
    whole = [at(12 * MINUTE_MS + i * 500, connections=1) for i in range(10)]

    play(source, run, fetching + whole + two_minutes(connections=1) + the_present(10, connections=1))

    assert [ms for ms in captured(run) if ms < 0] == OLD_ROWS
    assert Incident.objects.count() == 0


def test_an_epoch_that_has_ended_is_not_left_while_its_history_may_still_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    source, run = make_run("X", begins_msc=SPRING_MSC - 3 * HOUR_MS)
    keep_time(source, monkeypatch)
    # Back ten minutes after the switch: for 20 s the terminal shows its newest rows, the same at every look; then all.
    partly = [at(10 * MINUTE_MS + i * 500, shows=slice(12, None), connections=1) for i in range(40)]
    whole = [at(10 * MINUTE_MS + 20_000 + i * 500, connections=1) for i in range(240)]

    play(source, run, partly + whole + the_present(10, connections=1))

    assert captured(run) == [*OLD_ROWS, *live(200 * MINUTE_MS + 9_001)]
    assert (Backfill.objects.count(), Incident.objects.count()) == (0, 0)


def test_a_symbol_that_alone_cannot_be_read_at_the_switch_is_left_to_a_backfill_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, run = make_run("X", "Y", begins_msc=SPRING_MSC - 3 * HOUR_MS)
    keep_time(source, monkeypatch)
    failing = [at(minute * MINUTE_MS, "X", "Y", fails="Y") for minute in range(1, 6)]

    before, after = at(-35 * MINUTE_MS, "X", "Y", shows=slice(14)), at(201 * MINUTE_MS, "X", "Y", fails="Y")
    play(source, run, [before, *failing, after])

    assert captured(run, "X") == [*OLD_ROWS, *live(201 * MINUTE_MS)]
    asked = Backfill.objects.get()
    # From one hour before its newest tick captured, which lies 40 minutes before the switch.
    assert asked.feed_id == run.registered.feeds["Y"][0]
    assert (asked.from_msc - SPRING_MSC, asked.to_msc) == (-100 * MINUTE_MS, SPRING_MSC)
    incident = Incident.objects.get()
    assert (incident.cause, incident.state) == ("EPOCH_UNREAD", "OPEN")
    assert incident.evidence["feeds"] == [
        {
            "symbol": "Y",
            "from_msc": SPRING_MSC - 100 * MINUTE_MS,
            "why": "terminal error -4 Terminal: Not found",
            "backfill": asked.pk,
        }
    ]


def test_a_symbol_that_begins_after_the_switch_has_left_nothing_unread_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, run = make_run("X", "Y", begins_msc=SPRING_MSC - 3 * HOUR_MS)
    keep_time(source, monkeypatch)
    run.registered.feeds["Y"] = (run.registered.feeds["Y"][0], SPRING_MSC + MINUTE_MS)
    failing = [at(minute * MINUTE_MS, "X", "Y", fails="Y") for minute in range(1, 6)]

    play(source, run, [at(-35 * MINUTE_MS, "X", "Y", shows=slice(14)), *failing, *the_present(5, "X", "Y")])

    assert captured(run, "Y") == [*live(200 * MINUTE_MS + 4_001)]
    assert (Backfill.objects.count(), Incident.objects.count()) == (0, 0)


def test_what_a_symbol_left_unread_at_the_switch_is_captured_once_it_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, run = make_run("X", "Y", begins_msc=SPRING_MSC - 3 * HOUR_MS)
    keep_time(source, monkeypatch)
    failing = [at(minute * MINUTE_MS, "X", "Y", fails="Y") for minute in range(1, 20)]

    play(
        source,
        run,
        [at(-35 * MINUTE_MS, "X", "Y", shows=slice(14)), *failing, *two_minutes("X", "Y"), *the_present(200, "X", "Y")],
    )

    assert captured(run, "Y") == captured(run, "X") == [*OLD_ROWS, *live(200 * MINUTE_MS + 199_001)]
    assert Backfill.objects.get().state == "DONE"


def test_a_history_that_never_agreed_at_the_switch_is_left_to_a_backfill_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, run = make_run("X", begins_msc=SPRING_MSC - 3 * HOUR_MS)
    keep_time(source, monkeypatch)
    # An old row comes and goes with every other look, for four minutes: longer than all that is waited for.
    looks = [OLD_ROWS[:9], [*OLD_ROWS[:4], *OLD_ROWS[5:9]]]
    fetching = [
        Step(SPRING_MSC + 10 * MINUTE_MS + i * 300, {"X": quotes(old(*looks[i % 2]))}, connections=1)
        for i in range(800)
    ]

    play(source, run, fetching + the_present(10, connections=1))

    assert Backfill.objects.get().to_msc == SPRING_MSC
    assert Incident.objects.get().evidence["feeds"][0]["why"] == "its history was not whole"


def test_a_late_row_of_the_old_epoch_is_captured_after_an_outage_that_began_soon_after_the_switch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, run = make_run("X", begins_msc=SPRING_MSC - 3 * HOUR_MS)
    keep_time(source, monkeypatch)
    # The newest row of the old epoch comes while the broker is not reached.
    before = [at(minute * MINUTE_MS, shows=slice(16)) for minute in (-5, 1, 2)]
    away = [at(minute * MINUTE_MS, shows=slice(16), link=Link.LINK_LOST) for minute in range(10, 190, 20)]

    play(source, run, [*before, *away, *the_present(5)])

    assert [ms for ms in captured(run) if ms < 0] == OLD_ROWS


@pytest.mark.parametrize(
    ("shown_from", "minutes"),
    [
        pytest.param(7, [-1, 1, 7, 13, 30, 50], id="before the old epoch is left"),
        pytest.param(10, [-1, 1, 2, 3, 4, 10, 16, 30, 50], id="after it"),
    ],
)
def test_a_late_row_of_an_hour_s_first_pass_is_captured_once_and_is_not_gone_when_the_second_reaches_it(
    shown_from: int, minutes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, run = make_run("X", begins_msc=AUTUMN_MSC - 90 * MINUTE_MS)
    keep_time(source, monkeypatch)
    # Three hours ahead of UTC before the switch, two after it: 08:20 on the broker's clock, shown a little late.
    first = [AUTUMN_MSC + 3 * HOUR_MS + minute * MINUTE_MS for minute in range(-80, 0)]
    late = [AUTUMN_MSC + 3 * HOUR_MS - 40 * MINUTE_MS + 500]

    def step(minute: int) -> Step:
        second = [AUTUMN_MSC + 2 * HOUR_MS + i * MINUTE_MS + 30_000 for i in range(minute)]
        shown = sorted(first[: 80 + minute] + (late if minute >= shown_from else []) + second)
        return Step(AUTUMN_MSC + minute * MINUTE_MS + 40_000, {"X": quotes(shown)})

    play(source, run, [step(minute) for minute in minutes])

    running.drain()
    assert sum(Batch.objects.values_list("tick_count", flat=True)) == 80 + 1 + 50
    assert not Finding.objects.filter(cause="HISTORY_CHANGED").exists()


def test_a_database_that_is_away_at_the_switch_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    source, run = make_run("X", begins_msc=SPRING_MSC - 3 * HOUR_MS)
    keep_time(source, monkeypatch)

    # Read when each epoch begins, and at no other time.
    with away("reference_clockepoch", times=2) as told:
        play(source, run, [at(-5 * MINUTE_MS), at(1 * MINUTE_MS), at(2 * MINUTE_MS), *the_present(5)])

    assert told == [OperationalError] * 4
    assert captured(run) == [*OLD_ROWS, *live(200 * MINUTE_MS + 4_001)]


def test_a_database_that_is_away_when_the_lease_is_taken_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    source, run = make_run("X", begins_msc=SPRING_MSC)
    keep_time(source, monkeypatch)
    leases.release(run.lease)

    with away("INSERT INTO ingest_lease", times=2):
        lease = registering.acquire(run.registered, lambda: False)

    assert lease is not None
    assert lease.fence == run.lease.fence + 1


@pytest.mark.parametrize("is_killed", [False, True], ids=["one poller", "a second one, for the first could not look"])
def test_late_rows_of_the_old_epoch_are_captured_though_the_poller_was_away_from_within_the_new_one(
    is_killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, run = make_run("X", "Y", begins_msc=SPRING_MSC - 3 * HOUR_MS)
    keep_time(source, monkeypatch)
    away_ms = 200 * MINUTE_MS

    def step(after_ms: int, old_ms: list[int], new_ms: list[int], flicker: int = 0) -> Step:
        shown = quotes(old(*old_ms) + new(*new_ms))
        return Step(SPRING_MSC + after_ms, {"X": shown, "Y": shown[flicker:]}, connections=bool(flicker))

    seen, whole = [-40 * MINUTE_MS, -5 * MINUTE_MS], [-40 * MINUTE_MS, -20 * MINUTE_MS, -5 * MINUTE_MS, -500]
    play(source, run, [step(ms, seen, [61_000] * (ms > 61_000)) for ms in (-1_000, 50, 61_500, 62_000)])
    new_ms = [61_000, *range(away_ms - 60_000, away_ms, SECOND_MS)]
    if is_killed:
        # The history of Y never agrees: X is captured, the past is not looked at.
        play(source, run, [step(away_ms + i * 300, whole, new_ms, flicker=1 + i % 2) for i in range(20)])
        assert captured(run)[-1] == new_ms[-1]
    play(source, run, [step(away_ms + 10_000 + i * SECOND_MS, whole, new_ms) for i in range(5)])

    assert [ms for ms in captured(run) if ms < 0] == whole
