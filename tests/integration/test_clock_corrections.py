"""A wrong clock corrected: every tick at the UTC time that the recording was made from, nothing lost, nothing twice.

The expected UTC times are those that the recording was made from by hand, under New York's own rules.
"""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.db import connection

from ingest import leases
from ingest.models import Batch
from quality.models import Finding, QuarantinedTick
from storage import latest
from tests import running
from tests.integration.test_clocks import (
    AUTUMN_MSC,
    HOUR_MS,
    MINUTE_MS,
    SPRING_MSC,
    assert_complete,
    capture_at,
    flagged,
    record,
    stored,
    ticks_at,
    times,
)
from tickhub import exporting, reconcile
from tickhub.audit.models import Entry
from tickhub.core import clock
from tickhub.core.clock import DAY_MS
from tickhub.core.errors import UsageError
from tickhub.core.flags import Flag, names
from tickhub.core.ticks import TICK_DTYPE, Int64s, Ticks
from tickhub.management.periods import EVER
from tickhub.quarantine import decisions
from tickhub.reconcile import Scope
from tickhub.reference import queries as reference
from tickhub.reference.models import ClockCorrection, ClockEpoch, Feed, Source

pytestmark = pytest.mark.usefixtures("database")


def correct(clock_text: str | None = None, **options: Any) -> dict[str, Any]:  # Any: options and JSON
    out = StringIO()
    given = {"clock": clock_text} if clock_text else {"resume": True}
    call_command("correct_clock", source="broker", json=True, stdout=out, stderr=StringIO(), **given, **options)
    return dict(json.loads(out.getvalue().splitlines()[-1]))


def spec(folder: Path, rule: str, ticks: Ticks) -> str:
    return record(folder, ticks).replace("NY%2B7", rule.replace("+", "%2B"))


def capture(folder: Path, rule: str, ticks: Ticks) -> None:
    running.capture(f"{spec(folder, rule, ticks)}&speed=max")
    running.drain()


def is_clean() -> bool:
    for is_deep in (False, True):
        report = reconcile.reconcile(Scope(is_deep=is_deep))
        assert (report.lost, report.stored_twice, report.differences, report.unavailable) == (0, 0, [], [])
        assert report.captured == report.stored + report.quarantined
    return True


def assert_told(folder: Path, utc: Int64s, switch_msc: int) -> None:
    """Every tick at the time it was made at; those marked, of an hour shown twice, there or an hour later."""
    assert_complete(folder, None)
    found, unsure = stored(), flagged(Flag.AMBIGUOUS_TIME)
    made_at = utc[np.rint((found["bid"] - 60_000) * 100).astype(np.int64)]
    off = found["time_msc"] - made_at
    assert sorted(made_at.tolist()) == utc.tolist()
    assert set(off.tolist()) <= {0, HOUR_MS}
    assert set(found["time_msc"][off != 0].tolist()) <= set(unsure)
    assert all(switch_msc <= msc < switch_msc + HOUR_MS for msc in unsure)


def around(switch_msc: int, hours: float) -> Int64s:
    return times(switch_msc, hours=hours)


@pytest.mark.parametrize(("switch_msc", "hours"), [(AUTUMN_MSC, (3, 2)), (SPRING_MSC, (2, 3))])
@pytest.mark.parametrize("wrong", ["+02:00", "+03:00", "-05:00", "UTC"])
def test_recording_captured_under_a_wrong_offset_stands_at_its_own_utc_times_afterwards(
    wrong: str, switch_msc: int, hours: tuple[int, int], tmp_path: Path
) -> None:
    utc = around(switch_msc, 30)
    capture(tmp_path, wrong, ticks_at(utc, switch_msc, *hours))
    assert is_clean()

    figures = correct("NY+7")

    assert_told(tmp_path, utc, switch_msc)
    assert is_clean()
    assert (figures["ticks"], figures["held"], figures["conflicts"]) == (len(utc), 0, 0)
    assert latest.read([Feed.objects.get().pk])[Feed.objects.get().pk].time_msc == utc[-1]
    assert Feed.objects.get().begins_msc == utc[0]


@pytest.mark.parametrize(("switch_msc", "hours"), [(AUTUMN_MSC, (3, 2)), (SPRING_MSC, (2, 3))])
def test_second_capture_of_the_same_recording_after_a_correction_captures_nothing(
    switch_msc: int, hours: tuple[int, int], tmp_path: Path
) -> None:
    utc = around(switch_msc, 4)
    ticks = ticks_at(utc, switch_msc, *hours)
    capture(tmp_path, "+02:00", ticks)
    correct("NY+7")

    assert running.capture(f"{spec(tmp_path, 'NY+7', ticks)}&speed=max") == 0
    assert is_clean()


def test_rows_that_come_later_are_captured_behind_the_corrected_ones(tmp_path: Path) -> None:
    utc = around(AUTUMN_MSC, 3)
    ticks = ticks_at(utc, AUTUMN_MSC, 3, 2)
    capture(tmp_path, "+02:00", ticks[: len(ticks) * 3 // 5])
    correct("NY+7")

    running.capture(f"{spec(tmp_path, 'NY+7', ticks)}&speed=max")

    assert_told(tmp_path, utc, AUTUMN_MSC)


def test_ticks_of_either_pass_are_marked_and_told(tmp_path: Path) -> None:
    utc = around(AUTUMN_MSC, 2)
    capture(tmp_path, "+02:00", ticks_at(utc, AUTUMN_MSC, 3, 2))

    figures = correct("NY+7")

    unsure = int(np.count_nonzero((utc >= AUTUMN_MSC - HOUR_MS) & (utc < AUTUMN_MSC + HOUR_MS)))
    assert figures["ambiguous"] == len(flagged(Flag.AMBIGUOUS_TIME)) == unsure
    assert sum(Finding.objects.filter(cause="AMBIGUOUS_TIME").values_list("count", flat=True)) == unsure


def test_first_pass_that_was_seen_before_its_end_is_told_from_the_second(tmp_path: Path) -> None:
    utc = around(AUTUMN_MSC, 2)
    given = spec(tmp_path, "+02:00", ticks_at(utc, AUTUMN_MSC, 3, 2))
    begin_msc = int(utc[0]) + HOUR_MS
    for minute in range(-119, 150, 10):
        capture_at(given, AUTUMN_MSC + HOUR_MS + minute * MINUTE_MS, begin_msc)
    running.drain()

    correct("NY+7")

    assert_told(tmp_path, utc, AUTUMN_MSC)
    # The last poll before the end of the first pass came less than ten minutes before it.
    first = utc[(utc >= AUTUMN_MSC - HOUR_MS) & (utc < AUTUMN_MSC - 10 * MINUTE_MS)]
    assert set(first.tolist()) <= set(stored()["time_msc"].tolist()) - set(flagged(Flag.AMBIGUOUS_TIME))


def test_the_quarantine_of_a_released_tick_follows_it(tmp_path: Path) -> None:
    utc = around(AUTUMN_MSC, 3)
    ticks = ticks_at(utc, AUTUMN_MSC, 3, 2)
    ticks["ask"][5] = -1
    capture(tmp_path, "+02:00", ticks)
    (row_id,) = QuarantinedTick.objects.values_list("pk", flat=True)
    assert decisions.release(row_ids=[row_id], reason="a test", actor="night shift").refused == []

    correct("NY+7")

    row = QuarantinedTick.objects.get()
    assert (row.state, row.time_msc, row.offset_ms) == ("RELEASED", utc[5], 3 * HOUR_MS)
    assert flagged(Flag.RELEASED) == [utc[5]]
    assert is_clean()


def test_correction_back_again_restores_every_row(tmp_path: Path) -> None:
    utc = around(SPRING_MSC, 30)
    capture(tmp_path, "+02:00", ticks_at(utc, SPRING_MSC, 2, 3))
    before = table()

    correct("NY+7")
    assert table() != before
    correct("+02:00")

    assert table() == before
    assert is_clean()


def table() -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM tick ORDER BY feed_id, time_msc, seq")
        return list(cursor.fetchall())


def test_held_rows_of_an_hour_left_out_are_released_once_they_have_a_time(tmp_path: Path) -> None:
    utc = around(SPRING_MSC, 0.5)
    capture(tmp_path, "NY+7", ticks_at(utc, SPRING_MSC, 2, 2))
    held = int(np.count_nonzero(utc >= SPRING_MSC))
    assert QuarantinedTick.objects.filter(state="HELD").count() == held

    figures = correct("+02:00")

    assert (figures["released"], figures["held"]) == (held, 0)
    assert QuarantinedTick.objects.filter(state="RELEASED").count() == held
    assert flagged(Flag.NO_SUCH_TIME) == []
    assert_complete(tmp_path, utc)
    assert is_clean()


def test_held_rows_move_with_the_others(tmp_path: Path) -> None:
    utc = around(SPRING_MSC, 2)
    ticks = ticks_at(utc, SPRING_MSC, 2, 3)
    ticks["bid"][[3, -3]] = np.nan
    capture(tmp_path, "+02:00", ticks)

    correct("NY+7")

    rows = QuarantinedTick.objects.order_by("time_msc")
    assert [(row.time_msc, row.offset_ms, row.state) for row in rows] == [
        (utc[3], 2 * HOUR_MS, "HELD"),
        (utc[-3], 3 * HOUR_MS, "HELD"),
    ]
    assert_complete(tmp_path, None)


def test_two_ticks_that_get_one_key_are_both_kept_and_told(tmp_path: Path) -> None:
    # Captured as the passes of a repeated hour, though the broker's clock never changed.
    utc = np.array([AUTUMN_MSC + minute * MINUTE_MS for minute in (-40, -5, 20)], dtype=np.int64)
    ticks = ticks_at(utc, AUTUMN_MSC, 3, 2)
    capture(tmp_path, "NY+7", ticks)
    assert stored()["time_msc"].tolist() == utc.tolist()

    figures = correct("+02:00")

    with connection.cursor() as cursor:
        cursor.execute("SELECT time_msc, seq FROM tick ORDER BY time_msc, seq")
        assert cursor.fetchall() == [(utc[2], 0), (utc[2], 1), (utc[1] + HOUR_MS, 0)]
    assert figures["conflicts"] == 1
    assert_complete(tmp_path, None)


def test_period_moves_only_its_own_ticks(tmp_path: Path) -> None:
    # Wrong for one day; no ticks within three hours of its ends.
    utc = np.concatenate([np.arange(0, 20 * HOUR_MS, 61_003) + n * DAY_MS + SPRING_MSC for n in range(-2, 3)])
    hours = np.where((utc >= SPRING_MSC) & (utc < SPRING_MSC + DAY_MS), 3, 2)
    ticks = np.zeros(len(utc), dtype=TICK_DTYPE)
    ticks["time_msc"] = utc + hours * HOUR_MS
    ticks["time"], ticks["flags"], ticks["bid"] = ticks["time_msc"] // 1000, 6, 60_000 + np.arange(len(utc)) / 100
    ticks["ask"] = ticks["bid"] + 1
    capture(tmp_path, "+02:00", ticks)

    figures = correct(
        "+03:00",
        from_time=str(SPRING_MSC - 2 * HOUR_MS),
        to_time=str(SPRING_MSC + DAY_MS - 2 * HOUR_MS),
    )

    assert stored()["time_msc"].tolist() == utc.tolist()
    assert figures["moved"] == int(np.count_nonzero(hours == 3))
    assert Source.objects.get().clock == "+02:00"
    offsets = ClockEpoch.objects.order_by("starts_msc").values_list("offset_ms", flat=True)
    assert list(offsets) == [2 * HOUR_MS, 3 * HOUR_MS, 2 * HOUR_MS]
    report = reconcile.reconcile(Scope(is_deep=True))
    assert (report.captured, report.stored, report.differences) == (len(utc), len(utc), [])
    out = tmp_path / "out.npz"
    exporting.export(
        feed=reference.one_feed(symbol="BTCUSD", source=None),
        from_msc=EVER[0],
        to_msc=EVER[1],
        with_quarantined=False,
        out=out,
    )
    assert np.load(out)["ticks"].tobytes() == ticks.tobytes()


def test_dry_run_says_what_would_move_and_changes_nothing(tmp_path: Path) -> None:
    utc = around(SPRING_MSC, 2)
    capture(tmp_path, "+02:00", ticks_at(utc, SPRING_MSC, 2, 3))
    before, parts = table(), list(Batch.objects.order_by("pk").values_list("parts", "outcome"))

    figures = correct("NY+7", dry_run=True)

    assert (figures["dry_run"], figures["moved"]) == (True, int(np.count_nonzero(utc >= SPRING_MSC)))
    assert table() == before
    assert list(Batch.objects.order_by("pk").values_list("parts", "outcome")) == parts
    assert ClockCorrection.objects.count() == 0


def test_running_poller_waiting_and_failed_batches_are_refused(tmp_path: Path) -> None:
    utc = around(SPRING_MSC, 1)
    running.capture(f"{spec(tmp_path, '+02:00', ticks_at(utc, SPRING_MSC, 2, 3))}&speed=max")
    with pytest.raises(UsageError, match="batches wait; start workers"):
        correct("NY+7")
    Batch.objects.update(status="FAILED")
    with pytest.raises(UsageError, match="release them in the admin"):
        correct("NY+7")
    held = leases.acquire(source_id=Source.objects.get().pk, holder="a poller", ttl_ms=60_000)
    with pytest.raises(UsageError, match="held by a poller; stop its poller first"):
        correct("NY+7")

    leases.release(held)

    assert ClockCorrection.objects.count() == 0


def test_ticks_of_an_hour_that_the_right_clock_leaves_out_are_held_as_capture_would_hold_them(tmp_path: Path) -> None:
    # The broker's clock goes on for half an hour where the rule has changed it.
    utc = around(SPRING_MSC, 0.5)
    ticks = ticks_at(utc, SPRING_MSC, 2, 2)
    capture(tmp_path, "+02:00", ticks)
    before = table()

    figures = correct("NY+7")

    timeless = int(np.count_nonzero(utc >= SPRING_MSC))
    assert (figures["timeless"], figures["held"], figures["moved"]) == (timeless, 0, 0)
    rows = QuarantinedTick.objects.order_by("time_msc")
    assert [(row.time_msc, row.state, names(row.quality)) for row in rows] == [
        (msc, "HELD", ("NO_SUCH_TIME",)) for msc in utc[utc >= SPRING_MSC].tolist()
    ]
    assert b"".join(bytes(row.record) for row in rows) == ticks[utc >= SPRING_MSC].tobytes()
    assert Finding.objects.get(cause="NO_SUCH_TIME").count == timeless
    assert_complete(tmp_path, None)
    assert is_clean()
    correct("+02:00")
    assert table() == before
    assert correct("NY+7")["timeless"] == timeless
    assert_complete(tmp_path, None)
    assert running.capture(f"{spec(tmp_path, 'NY+7', ticks)}&speed=max") == 0


@pytest.mark.parametrize(
    ("switch", "hours"), [("2025-03-30T01:00Z", (2, 3)), ("2025-10-26T01:00Z", (3, 2))], ids=["spring", "autumn"]
)
def test_ticks_that_move_both_ways_stand_at_their_own_utc_times_afterwards(
    switch: str, hours: tuple[int, int], tmp_path: Path
) -> None:
    # Half an hour from both offsets of the real clock: some days move earlier, some later.
    switch_msc = clock.parse(switch)
    utc = times(switch_msc, every_ms=13_007, hours=50)
    capture(tmp_path, "+02:30", ticks_at(utc, switch_msc, *hours))

    figures = correct("Europe/Athens")

    assert_told(tmp_path, utc, switch_msc)
    assert is_clean()
    assert (figures["shift_min_ms"], figures["shift_max_ms"]) == (-HOUR_MS // 2, HOUR_MS // 2)
    assert (figures["timeless"], figures["conflicts"]) == (0, 0)


def test_table_that_differs_from_its_ledger_is_refused(tmp_path: Path) -> None:
    utc = around(SPRING_MSC, 1)
    capture(tmp_path, "+02:00", ticks_at(utc, SPRING_MSC, 2, 3))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tick SET bid = bid + 1 WHERE time_msc = %s", [int(utc[5])])

    with pytest.raises(UsageError, match=r"run `manage\.py reconcile --deep` first, nothing was changed"):
        correct("NY+7")


def test_start_with_the_old_clock_is_refused_and_with_the_new_one_goes_on(tmp_path: Path) -> None:
    utc = around(SPRING_MSC, 1)
    ticks = ticks_at(utc, SPRING_MSC, 2, 3)
    capture(tmp_path, "+02:00", ticks)
    correct("NY+7")

    with pytest.raises(UsageError, match="its clock is America/New_York"):
        running.capture(f"{spec(tmp_path, '+02:00', ticks)}&speed=max")
    assert running.capture(f"{spec(tmp_path, 'NY+7', ticks)}&speed=max") == 0
    assert clock.parse("2025-03-09T07:00Z") in set(ClockEpoch.objects.values_list("starts_msc", flat=True))


def test_correction_is_in_the_audit_ledger_from_its_intent_to_its_end(tmp_path: Path) -> None:
    utc = around(SPRING_MSC, 16)
    capture(tmp_path, "+02:00", ticks_at(utc, SPRING_MSC, 2, 3))

    correct("NY+7")

    entries = list(Entry.objects.filter(action__startswith="CLOCK_CORRECTION").order_by("id"))
    assert [entry.action.removeprefix("CLOCK_CORRECTION_") for entry in entries] == ["BEGUN", "DAY", "DAY", "DONE"]
    assert {entry.object for entry in entries} == {"source broker"}
    assert [entry.details["day"] for entry in entries[1:3]] == ["2025-03-08", "2025-03-09"]
    assert entries[0].details["epochs"][0][2] == 2 * HOUR_MS
    assert entries[-1].details["figures"]["moved"] == int(np.count_nonzero(utc >= SPRING_MSC))
    assert "@" in entries[0].actor
