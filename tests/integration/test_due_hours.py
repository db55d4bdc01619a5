"""Hours about which something has changed are examined again; none is passed over, and none holds the others up."""

from pathlib import Path

import numpy as np
import pytest
from django.db import connection, transaction

from ingest import backfill, inbox, leases
from ingest.backfill import Backfiller
from ingest.models import Backfill, Batch
from ingest.target import Options
from quality import due_hours
from quality.models import DueHours, Examination, FeedHour, Gap, QuarantinedTick
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.integration import test_clock_corrections as clocks
from tests.integration.test_gaps import EVERY_HALF_MINUTE, connect, gaps, missing_minutes, poll, quotes, without
from tickhub import examining, filling
from tickhub.core import clock
from tickhub.core.clock import DAY_MS, HOUR_MS, MINUTE_MS
from tickhub.core.ticks import Ticks
from tickhub.reference import calendars
from tickhub.reference.models import Feed, Instrument, SessionCalendar, Source

pytestmark = pytest.mark.usefixtures("database")

NOON_HOUR = NOON_MSC // HOUR_MS


def examine() -> None:
    while examining.examine():
        pass
    assert not DueHours.objects.filter(work="EXAMINE").exists()


def hours_of(symbol: str = "EURUSD") -> list[int]:
    """The examined hours, counted from noon."""
    rows = FeedHour.objects.filter(feed__symbol=symbol).order_by("hour")
    return [hour - NOON_HOUR for hour in rows.values_list("hour", flat=True)]


def fill(rig: Rig, symbol: str, shown: Ticks, from_msc: int, to_msc: int) -> None:
    """Let the terminal show other ticks, and have a period of them read again."""
    rig.terminal.history[symbol] = shown
    backfill.request(feed_id=rig.feeds[symbol].pk, from_msc=from_msc, to_msc=to_msc, reason="a test")
    rig.source.now_msc += 1000
    rig.poller.poll()
    Backfiller(rig.poller).run()
    running.drain()


def test_history_from_before_the_first_examined_hour_is_examined_with_its_holes() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    poll(rig, EURUSD=EVERY_HALF_MINUTE, GBPUSD=EVERY_HALF_MINUTE)
    assert hours_of() == [0, 1, 2]

    early = [minute for minute in np.arange(-240, 0, 0.5) if not -200 < minute < -130]
    fill(rig, "EURUSD", quotes([*early, *EVERY_HALF_MINUTE]), NOON_MSC - 4 * HOUR_MS, NOON_MSC)
    examine()

    assert hours_of() == hours_of("GBPUSD") == [-4, -3, -2, -1, 0, 1, 2]
    assert [(low, high) for symbol, low, high, _ in gaps() if symbol == "EURUSD"] == [(-200, -180), (-180, -130)]


def test_a_silence_that_reaches_into_the_next_hour_is_closed_in_both() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    whole = sorted({*EVERY_HALF_MINUTE, 60.25} - {60.0})
    # Its last piece lies in the second hour, and ends before any tick is missing there.
    live = sorted({*EVERY_HALF_MINUTE, *(60 + second / 60 for second in range(0, 60, 5))})
    poll(rig, EURUSD=[minute for minute in whole if not 50 < minute < 60.25], GBPUSD=live)
    assert {symbol for symbol, *_ in gaps(state="OPEN")} == {"EURUSD"}

    fill(rig, "EURUSD", quotes(whole), NOON_MSC + 45 * MINUTE_MS, NOON_MSC + 61 * MINUTE_MS)
    examine()

    assert gaps(state="OPEN") == []


def test_what_a_pass_over_the_past_has_read_again_is_not_lost_any_more() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig, uncaptured=range(61, 120))
    # Two minutes between ticks are normal for it: none is missing.
    poll(rig, EURUSD=[float(minute) for minute in range(0, 182, 2)], GBPUSD=EVERY_HALF_MINUTE)
    assert {kind for symbol, *_, kind in gaps(state="OPEN") if symbol == "EURUSD"} >= {"DISCONNECTED"}

    leases.cover(rig.poller.lease, NOON_MSC + 3 * HOUR_MS)
    examine()

    assert "DISCONNECTED" not in {kind for *_, kind in gaps(state="OPEN")}


def test_what_a_backfill_has_read_again_is_not_lost_any_more_for_its_feed_alone() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig, uncaptured=range(61, 120))
    poll(rig, EURUSD=without(60, 120), GBPUSD=without(60, 120))
    before = {symbol for symbol, *_, kind in gaps(state="OPEN") if kind == "DISCONNECTED"}

    # Nothing was missed; the one gap is read again in two pieces.
    for begin, end in ((60, 89), (89, 120)):
        fill(rig, "EURUSD", quotes(without(60, 120)), NOON_MSC + begin * MINUTE_MS, NOON_MSC + end * MINUTE_MS)
    examine()

    assert before == {"EURUSD", "GBPUSD"}
    assert {symbol for symbol, *_, kind in gaps(state="OPEN") if kind == "DISCONNECTED"} == {"GBPUSD"}


def test_a_silence_round_what_was_read_again_is_measured_as_a_whole() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig, uncaptured=range(30, 55))
    # An hour is normal for it: what is left of the silence on either side of the lost minutes is shorter.
    FeedHour.objects.create(feed=rig.feeds["EURUSD"], hour=NOON_HOUR - 1, ticks=3, usual_gap_ms=12 * MINUTE_MS)
    poll(rig, EURUSD=without(20, 100), GBPUSD=EVERY_HALF_MINUTE)
    assert gaps(state="OPEN") == [("EURUSD", 30, 55, "DISCONNECTED")]

    leases.cover(rig.poller.lease, NOON_MSC + 3 * HOUR_MS)
    examine()

    assert gaps(state="OPEN") == [("EURUSD", 60, 100, "STALLED")]


def test_hours_follow_a_calendar_that_is_changed_afterwards() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    poll(rig, EURUSD=without(30, 110), GBPUSD=EVERY_HALF_MINUTE)
    assert missing_minutes("EURUSD") == [30, 50, 0]

    calendars.ensure()
    # It opens at 14:30 UTC, behind the silence.
    exchange = SessionCalendar.objects.get(name="us-equities")
    Instrument.objects.filter(code="EURUSD").update(calendar=exchange)
    examine()

    assert missing_minutes("EURUSD") == [0, 0, 0]
    assert {kind for symbol, *_, kind in gaps(state="OPEN") if symbol == "EURUSD"} == {"CLOSED"}


def test_every_source_has_its_turn() -> None:
    for place, count in enumerate((200, 3)):
        rig = make_rig("EURUSD", name=f"source{place}")
        rig.terminal.history["EURUSD"] = make_ticks([(hour * HOUR_MS, 1.1, 1.2) for hour in range(count + 1)])
        rig.source.now_msc = NOON_MSC + count * HOUR_MS
        rig.poller.poll()
    running.drain()
    ticking = iter(range(10_000))
    with pytest.MonkeyPatch.context() as patch:
        # A second passes with each look at the clock.
        patch.setattr(clock, "monotonic_s", lambda: next(ticking))
        examining.examine(budget_s=12)

    done = dict(Examination.objects.order_by("pk").values_list("source__name", "next_hour"))
    assert min(done.values()) - NOON_HOUR == 3


def test_the_hour_of_a_late_tick_does_not_wait_for_a_long_history() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    poll(rig, EURUSD=EVERY_HALF_MINUTE, GBPUSD=EVERY_HALF_MINUTE)
    source_id = Source.objects.get().pk
    with transaction.atomic():
        for first in (NOON_HOUR, NOON_HOUR + 2):
            hours = [(first, NOON_HOUR + 3)]
            due_hours.note(due_hours.EXAMINE, source_id=source_id, feed_ids=None, hours=hours)
    ticking = iter(range(100))
    with pytest.MonkeyPatch.context() as patch:
        # A second passes with each look at the clock.
        patch.setattr(clock, "monotonic_s", lambda: next(ticking))
        assert examining.examine(budget_s=1) == 1

    left = DueHours.objects.filter(work="EXAMINE").values_list("from_hour", "to_hour")
    assert list(left) == [(NOON_HOUR, NOON_HOUR + 3)]


def test_a_stray_tick_of_years_ago_makes_no_years_of_hours() -> None:
    rig = make_rig("EURUSD")
    connect(rig)
    stray = make_ticks([(0, 1.1, 1.2)], start_msc=NOON_MSC - 5 * 365 * DAY_MS)
    Feed.objects.update(begins_msc=int(stray["time_msc"][0]))
    rig.poller.target.begin_earlier(feed_id=rig.feeds["EURUSD"].pk, begins_msc=int(stray["time_msc"][0]))
    rig.poller.load()
    rig.terminal.history["EURUSD"] = np.concatenate([stray, quotes(EVERY_HALF_MINUTE)])
    rig.source.now_msc = NOON_MSC + 3 * HOUR_MS + MINUTE_MS
    rig.poller.poll()
    running.drain()

    examine()

    assert hours_of() == [-5 * 365 * 24, 0, 1, 2]


def test_a_feed_that_is_read_page_by_page_is_not_taken_for_stalled() -> None:
    rig = make_rig("EURUSD", "GBPUSD", options=Options(page_ticks=400))
    connect(rig)
    # Two pages of one, one of the other.
    busy = [place / 4 for place in range(4 * 181)]
    rig.terminal.history = {"EURUSD": quotes(busy), "GBPUSD": quotes(EVERY_HALF_MINUTE)}
    rig.source.now_msc = NOON_MSC + 3 * HOUR_MS + MINUTE_MS
    rig.poller.poll()
    running.drain()
    examining.examine()
    filling.fill()

    # Of the first hour all is captured.
    assert hours_of() == [0]
    for _ in range(6):
        rig.source.now_msc += 1000
        rig.poller.poll()
    running.drain()
    examine()

    assert hours_of() == [0, 1, 2]
    assert not Gap.objects.filter(kind="STALLED").exists()
    assert not Backfill.objects.exists()


def test_a_request_that_failed_is_made_again_the_next_day() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    poll(rig, EURUSD=without(30, 110), GBPUSD=EVERY_HALF_MINUTE)
    filling.fill()
    Backfill.objects.update(state="FAILED", failure="its bytes are gone", done_at=clock.now())

    filling.fill()
    assert Backfill.objects.count() == 1
    Backfill.objects.update(done_at=clock.to_datetime(clock.now_msc() - DAY_MS - 1))
    filling.fill()
    filling.fill()

    assert sorted(Backfill.objects.values_list("state", flat=True)) == ["FAILED", "OPEN"]
    assert set(Gap.objects.values_list("backfill_id", flat=True)) == {Backfill.objects.get(state="OPEN").pk}


def test_an_examination_leaves_alone_by_which_request_a_gap_is_asked_for() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    poll(rig, EURUSD=without(30, 110), GBPUSD=EVERY_HALF_MINUTE)
    filling.fill()
    asked = Backfill.objects.get().pk
    Gap.objects.update(cause="something else")

    with transaction.atomic():
        DueHours.objects.create(work="EXAMINE", source=Source.objects.get(), from_hour=NOON_HOUR, to_hour=NOON_HOUR + 2)
    examine()

    assert set(Gap.objects.values_list("backfill_id", flat=True)) == {asked}
    assert "something else" not in set(Gap.objects.values_list("cause", flat=True))


def test_a_corrected_clock_moves_the_examined_hours_and_their_gaps(tmp_path: Path) -> None:
    # Half minutes of five hours of which an hour and a half is missing, from noon on the clock that was told.
    shown = quotes([minute for minute in np.arange(0, 300, 0.5) if not 60 < minute < 150])
    clocks.capture(tmp_path, "+02:00", shown)
    examine()
    assert [(low, high) for _, low, high, _ in gaps()] == [(-60, 0), (0, 30)]

    clocks.correct("+03:00")
    examine()

    assert [(low, high, state) for low, high, state in gap_states()] == [(-120, -60, "OPEN"), (-60, -30, "OPEN")]
    # The hour of the newest tick is not over any more.
    rows = FeedHour.objects.order_by("hour").values_list("hour", "ticks")
    assert [(hour - NOON_HOUR, count) for hour, count in rows] == [(-3, 120), (-2, 1), (-1, 60), (0, 120)]


def test_a_clock_corrected_to_later_times_leaves_what_is_examined_examined(tmp_path: Path) -> None:
    # Of days that move to later times the earliest is written last.
    clocks.capture(tmp_path, "+03:00", quotes([float(minute) for minute in range(0, 30 * 60, 10)]))
    examine()
    before = Examination.objects.get().next_hour

    clocks.correct("+02:00")

    assert before - NOON_HOUR == 26
    assert Examination.objects.get().next_hour == before


def test_a_gap_is_closed_by_a_batch_that_had_failed_when_its_hour_was_examined() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    whole = quotes(EVERY_HALF_MINUTE)
    for until in (30, 50):
        until_msc = NOON_MSC + until * MINUTE_MS
        rig.terminal.history["EURUSD"] = whole[whole["time_msc"] <= until_msc]
        rig.source.now_msc = until_msc
        rig.poller.poll()
    failed = Batch.objects.filter(pk=rig.published[-1])
    failed.update(status="FAILED", failure="a test")
    poll(rig, EURUSD=EVERY_HALF_MINUTE, GBPUSD=EVERY_HALF_MINUTE)
    assert gaps(state="OPEN") == [("EURUSD", 30, 50.5, "STALLED")]

    with connection.cursor() as cursor:
        cursor.execute("UPDATE ingest_batch SET captured_at = captured_at - interval '1 hour'")
    inbox.release_failed(batch_ids=None)
    running.drain()
    examine()

    assert gaps(state="OPEN") == []
    assert missing_minutes("EURUSD") == [0, 0, 0]


def test_hours_are_examined_again_once_what_waits_of_them_is_stored() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    poll(rig, EURUSD=without(70, 100), GBPUSD=EVERY_HALF_MINUTE)
    rig.terminal.history["EURUSD"] = quotes(EVERY_HALF_MINUTE)
    backfill.request(
        feed_id=rig.feeds["EURUSD"].pk, from_msc=NOON_MSC + HOUR_MS, to_msc=NOON_MSC + 2 * HOUR_MS, reason="a test"
    )
    Backfiller(rig.poller).run()
    with transaction.atomic():
        due_hours.note(
            due_hours.EXAMINE, source_id=Source.objects.get().pk, feed_ids=None, hours=[(NOON_HOUR, NOON_HOUR + 3)]
        )

    assert examining.examine() == 1
    assert set(DueHours.objects.filter(work="EXAMINE").values_list("from_hour", "to_hour")) == {
        (NOON_HOUR + 1, NOON_HOUR + 3)
    }
    running.drain()
    examine()

    assert gaps(state="OPEN") == []


def test_a_silence_of_many_hours_is_measured_anew_in_all_of_them() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    # Two hours and five minutes are normal for it.
    FeedHour.objects.create(feed=rig.feeds["EURUSD"], hour=NOON_HOUR - 1, ticks=3, usual_gap_ms=25 * MINUTE_MS)
    poll(rig, EURUSD=[0.0, 5.0, 180.0], GBPUSD=EVERY_HALF_MINUTE)
    assert gaps(state="OPEN", feed__symbol="EURUSD") == [("EURUSD", 120, 180, "STALLED")]

    fill(rig, "EURUSD", quotes([0.0, 5.0, 56.0, 180.0]), NOON_MSC, NOON_MSC + HOUR_MS)
    examine()

    assert gaps(state="OPEN", feed__symbol="EURUSD") == []


def test_a_tick_of_no_possible_time_fails_no_batch_that_waited_long() -> None:
    rig = make_rig("EURUSD")
    wild = make_ticks([(0, 1.1, 1.2)], start_msc=9 * 10**18)
    rig.terminal.history["EURUSD"] = np.concatenate([quotes([0.0, 1.0]), wild])
    rig.source.now_msc = NOON_MSC + HOUR_MS
    rig.poller.poll()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ingest_batch SET captured_at = captured_at - interval '1 hour'")

    running.drain()

    assert list(Batch.objects.values_list("status", "failure")) == [("STORED", "")]
    assert QuarantinedTick.objects.get().time_msc == 9 * 10**18
    assert not DueHours.objects.exists()


def gap_states() -> list[tuple[float, float, str]]:
    rows = Gap.objects.order_by("from_msc").values_list("from_msc", "to_msc", "state")
    return [((low - NOON_MSC) / MINUTE_MS, (high - NOON_MSC) / MINUTE_MS, state) for low, high, state in rows]


def test_many_notes_of_one_hour_make_one_examination() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    poll(rig, EURUSD=EVERY_HALF_MINUTE, GBPUSD=EVERY_HALF_MINUTE)
    DueHours.objects.bulk_create(
        DueHours(work="EXAMINE", source=Source.objects.get(), from_hour=NOON_HOUR, to_hour=NOON_HOUR + 3)
        for _ in range(500)
    )

    assert examining.examine() == 3
    assert not DueHours.objects.filter(work="EXAMINE").exists()


def test_a_held_tick_of_an_impossible_time_is_of_no_hour() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    poll(rig, EURUSD=EVERY_HALF_MINUTE, GBPUSD=EVERY_HALF_MINUTE)
    for place, time_msc in enumerate((-9 * 10**18, 0)):
        QuarantinedTick.objects.create(
            feed=rig.feeds["EURUSD"],
            time_msc=time_msc,
            seq=0,
            record=b"\0" * 60,
            offset_ms=0,
            quality=4,
            batch_id=rig.published[0],
            position=place,
        )

    examine()

    assert hours_of() == [0, 1, 2]


def test_a_source_without_feeds_holds_nobody_up() -> None:
    # As that of an agent whose token was issued, and which has not come yet.
    Source.objects.create(name="agent", spec="agent:", scheme="agent")
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    poll(rig, EURUSD=EVERY_HALF_MINUTE, GBPUSD=EVERY_HALF_MINUTE)
    fill(rig, "EURUSD", quotes([*EVERY_HALF_MINUTE, 181.0]), NOON_MSC, NOON_MSC + HOUR_MS)

    examine()

    assert hours_of() == [0, 1, 2]
