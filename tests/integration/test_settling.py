"""What a terminal inserts into the past is captured, whatever the pace of playback and the length of an outage."""

import numpy as np
import pytest
from django.db import DatabaseError, connection

from ingest import inbox, queries
from ingest.models import Batch
from ingest.target import Options
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.integration.test_capture import captured
from tickhub import repeating
from tickhub.core import clock
from tickhub.core import ticks as tick_arrays
from tickhub.core.errors import TransientError
from tickhub.core.ticks import Ticks

pytestmark = pytest.mark.usefixtures("database")

HOUR_MS = 3_600_000


def poll(rig: Rig, *, at_ms: int) -> int:
    """Poll at a time of the terminal, in milliseconds after noon, and go one step on with the pass."""
    rig.source.now_msc = NOON_MSC + at_ms
    saved = rig.poller.poll()
    return saved + rig.poller.settler.step(rig.poller.states, now_msc=rig.poller.now_msc)


def missing() -> int:
    """How many captured ticks batches have reported as no longer shown."""
    return sum(part["missing"] for batch in Batch.objects.order_by("pk") for part in batch.parts)


def assert_captured(rig: Rig, rows: Ticks) -> None:
    found = captured(rig)
    assert sorted(found.tolist()) == sorted(rows.tolist())


def test_a_cursor_follows_a_terminal_whose_clock_runs_ahead_of_the_hosts() -> None:
    rig = make_rig("EURUSD")
    rows = make_ticks([(i * 100, 1.1, 1.2 + i / 1e5) for i in range(400)])
    for now_ms in range(0, 38_000, 500):
        # The host is 1.3 s behind: every tick is seen before its time.
        rig.terminal.history["EURUSD"] = rows[rows["time_msc"] <= NOON_MSC + now_ms + 1300]
        poll(rig, at_ms=now_ms)

    position = rig.poller.states[0].position

    assert position is not None
    assert position.last_msc == NOON_MSC + 37_500
    assert len(rig.poller.states[0].tail.rows) < 150
    assert_captured(rig, rig.terminal.history["EURUSD"])
    rig.poller.load()
    assert rig.poller.poll() == 0


def test_late_rows_of_a_recording_played_fast_are_all_captured() -> None:
    rig = make_rig("EURUSD")
    on_time = make_ticks([(i * 60_000, 1.1, 1.2) for i in range(600)])
    late = make_ticks([(i * 60_000 + 5, 1.3, 1.4) for i in range(600)])
    for minute in range(0, 600, 2):
        now_msc = NOON_MSC + minute * 60_000
        shown = [on_time[on_time["time_msc"] <= now_msc], late[late["time_msc"] + 1_800_000 <= now_msc]]
        rig.terminal.history["EURUSD"] = tick_arrays.join(shown)
        poll(rig, at_ms=minute * 60_000)

    rig.poller.settler.run(rig.poller.states, now_msc=rig.source.now_msc)

    assert_captured(rig, rig.terminal.history["EURUSD"])


@pytest.mark.parametrize("offset_ms", [0, 3 * HOUR_MS])
def test_rows_inserted_before_and_during_a_long_outage_are_captured_after_it(offset_ms: int) -> None:
    rig = make_rig("EURUSD", "GBPUSD", offset_ms=offset_ms)
    base = NOON_MSC + offset_ms
    before = make_ticks([(i * 1000, 1.1, 1.2) for i in range(100)], start_msc=base)
    rig.terminal.history = {"EURUSD": before, "GBPUSD": before}
    poll(rig, at_ms=100_000)
    inserted = make_ticks([(50_000, 1.5, 1.6), (7 * HOUR_MS, 1.5, 1.6)], start_msc=base)
    after = make_ticks([(9 * HOUR_MS, 1.1, 1.2)], start_msc=base)

    rig.poller.load()
    rig.terminal.history = {"EURUSD": tick_arrays.join([before, inserted[:1], after]), "GBPUSD": before}
    poll(rig, at_ms=9 * HOUR_MS)
    # The terminal's history is completed while it is being read.
    rig.terminal.history["EURUSD"] = tick_arrays.join([before, inserted, after])
    poll(rig, at_ms=9 * HOUR_MS + 2000)
    poll(rig, at_ms=9 * HOUR_MS + 4000)
    rig.poller.settler.run(rig.poller.states, now_msc=rig.source.now_msc)

    assert_captured(rig, rig.terminal.history["EURUSD"])
    assert rig.poller.settler.run(rig.poller.states, now_msc=rig.source.now_msc) == 0


def test_a_pass_that_could_not_read_is_made_up_for_later() -> None:
    rig = make_rig("EURUSD")
    rows = make_ticks([(0, 1.1, 1.2), (HOUR_MS // 2, 1.1, 1.3)])
    rig.terminal.history["EURUSD"] = rows
    poll(rig, at_ms=HOUR_MS // 2)
    whole = tick_arrays.join([rows, make_ticks([(1, 1.7, 1.8)])])
    rig.terminal.history["EURUSD"] = whole
    rig.terminal.fails = {"EURUSD"}
    rig.poller.settler.run(rig.poller.states, now_msc=rig.source.now_msc)
    rig.terminal.fails = set()

    rig.source.now_msc += 4 * HOUR_MS
    rig.poller.poll()
    rig.poller.settler.run(rig.poller.states, now_msc=rig.source.now_msc)

    assert_captured(rig, whole)


def test_a_poll_broken_off_between_two_batches_is_not_gone_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make_rig("EURUSD", options=Options(page_ticks=100_000))
    many = np.repeat(make_ticks([(0, 1.1, 1.2)]), 70_000).copy()
    many["time_msc"] += np.arange(70_000) // 100
    many["time"] = many["time_msc"] // 1000
    rig.terminal.history["EURUSD"] = many
    rig.source.now_msc += 5000
    save = inbox.save
    calls = []

    def failing_save(*args: object, **options: object) -> int:
        calls.append(1)
        if len(calls) == 2:
            msg = "the server went away"
            raise DatabaseError(msg)
        return save(*args, **options)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(inbox, "save", failing_save)
    repeating.repeat(rig.poller, rig.poller.poll, lambda: True)
    repeating.repeat(rig.poller, rig.poller.poll, lambda: True)

    assert_captured(rig, many)
    assert sum(Batch.objects.values_list("tick_count", flat=True)) == 70_000


def test_a_symbol_that_shows_nothing_of_what_it_showed_is_a_failed_read_and_selected_again() -> None:
    rig = make_rig("EURUSD")
    rows = make_ticks([(0, 1.1, 1.2)])
    rig.terminal.history["EURUSD"] = rows
    poll(rig, at_ms=10)
    rig.terminal.history["EURUSD"] = rows[:0]

    poll(rig, at_ms=20)

    assert [part["missing"] for b in Batch.objects.order_by("pk") for part in b.parts] == [0, 0]
    assert Batch.objects.order_by("pk").last().parts[0]["error"] == [0, "no row of those captured"]  # type: ignore[union-attr]
    rig.terminal.history["EURUSD"] = rows
    assert poll(rig, at_ms=30) == 0


def test_bytes_that_were_dropped_stop_the_poller_instead_of_a_second_capture() -> None:
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2)])
    poll(rig, at_ms=10)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE batch_payload")

    with pytest.raises(queries.PayloadGone):
        rig.poller.load()
    assert not issubclass(queries.PayloadGone, TransientError)


def test_a_symbol_that_shows_nothing_any_more_is_no_changed_history_of_the_hour_before() -> None:
    rig = make_rig("EURUSD")
    rows = make_ticks([(i * 1000, 1.1, 1.2) for i in range(300)])
    rig.terminal.history["EURUSD"] = rows
    poll(rig, at_ms=300_000)
    # The rows leave the tail, and the pass has to fetch them again.
    rig.poller.load()
    rig.terminal.history["EURUSD"] = rows[:0]

    for i in range(80):
        poll(rig, at_ms=301_000 + i * 50)

    assert sum(part["missing"] for batch in Batch.objects.order_by("pk") for part in batch.parts) == 0


def test_a_pass_that_is_shown_nothing_of_what_was_captured_covers_nothing() -> None:
    rig = make_rig("EURUSD")
    rows = make_ticks([(i * 1000, 1.1, 1.2) for i in range(300)])
    rig.terminal.history["EURUSD"] = rows
    poll(rig, at_ms=300_000)
    rig.poller.load()
    rig.terminal.history["EURUSD"] = rows[:0]

    # No poll has noticed.
    found = rig.poller.settler.run(rig.poller.states, now_msc=NOON_MSC + 300_000)

    # Its reason is told, and nothing is taken for gone.
    told = Batch.objects.order_by("pk").last()
    assert (found, Batch.objects.count()) == (0, 2)
    assert told is not None
    assert [(part["error"], part["missing"]) for part in told.parts] == [([0, "no row of those captured"], 0)]
    assert not rig.poller.settler.is_clean


def test_a_symbol_that_cannot_be_read_does_not_keep_late_rows_of_others_from_being_captured() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    before = make_ticks([(i * 1000, 1.1, 1.2) for i in range(100)])
    rig.terminal.history = {"EURUSD": before, "GBPUSD": before}
    poll(rig, at_ms=100_000)
    rig.poller.load()
    inserted = tick_arrays.join([before[:50], make_ticks([(49_500, 1.5, 1.6)]), before[50:]])
    rig.terminal.history = {"EURUSD": inserted, "GBPUSD": inserted}
    rig.terminal.fails = {"EURUSD"}
    for hour in (0, 2):
        for i in range(80):
            poll(rig, at_ms=101_000 + hour * HOUR_MS + i * 50)
    others = captured(rig, "GBPUSD")
    rig.terminal.fails = set()

    # For the symbol that could not be read, the pass covers hours later what it could not see.
    for i in range(80):
        poll(rig, at_ms=5 * HOUR_MS + i * 50)

    assert len(others) == 101
    assert sorted(captured(rig, "EURUSD").tolist()) == sorted(inserted.tolist())


def test_a_symbol_that_cannot_be_read_does_not_keep_the_past_of_others_from_being_proven() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    rows = make_ticks([(hour * HOUR_MS, 1.1, 1.2) for hour in range(25)])
    rig.terminal.history = {"EURUSD": rows[:1], "GBPUSD": rows[:1]}
    poll(rig, at_ms=1_000)
    rig.poller.settler.run(rig.poller.states, now_msc=rig.poller.now_msc)
    rig.terminal.fails = {"GBPUSD"}
    rig.terminal.history["EURUSD"] = rows
    poll(rig, at_ms=24 * HOUR_MS)

    rig.poller.settler.run(rig.poller.states, now_msc=rig.poller.now_msc)

    coverage = rig.poller.settler.coverage
    covered = [coverage.of(rig.feeds[symbol].pk) for symbol in ("EURUSD", "GBPUSD")]
    assert covered == [NOON_MSC + 24 * HOUR_MS, NOON_MSC]
    assert coverage.proven_msc == NOON_MSC


def test_history_that_is_not_shown_for_a_day_is_told_as_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make_rig("EURUSD")
    rows = make_ticks([(i * 10 * 60_000, 1.1, 1.2) for i in range(73)])
    rig.terminal.history["EURUSD"] = rows[:31]
    poll(rig, at_ms=5 * HOUR_MS)
    # A terminal that was installed anew at hour ten, of a broker that keeps no history.
    rig.terminal.history["EURUSD"] = rows[61:]
    rig.poller.load()
    poll(rig, at_ms=12 * HOUR_MS)
    settler = rig.poller.settler

    settler.run(rig.poller.states, now_msc=rig.poller.now_msc)
    before = missing()
    later_s = clock.monotonic_s() + 25 * 3600
    monkeypatch.setattr(clock, "monotonic_s", lambda: later_s)
    settler.run(rig.poller.states, now_msc=rig.poller.now_msc)

    # The pass looks back for an hour from the newest tick captured, of which the poll's own look has told.
    assert (before, missing()) == (1, 7)
    assert settler.is_clean
