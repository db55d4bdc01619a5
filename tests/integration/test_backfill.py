"""Stretches of history read again: only what is missing is captured, what changed is told and never overwritten."""

from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command

from ingest import backfill
from ingest.backfill import Backfiller
from ingest.models import Backfill, Batch
from ingest.sources.terminal import Link
from quality.models import Finding
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.integration.test_capture import captured
from tests.oracle import compare_export
from tests.scripted import ScriptedSource, Step
from tickhub import exporting, polling, reconcile, repeating
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Ticks
from tickhub.management.periods import EVER
from tickhub.reconcile import Scope
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed

pytestmark = pytest.mark.usefixtures("database")

MINUTE_MS = 60_000


def quotes(*minutes: int) -> Ticks:
    return make_ticks([(minute * MINUTE_MS, 1.0 + minute / 1000, 1.1 + minute / 1000) for minute in minutes])


def at(rig: Rig, minute: int, rows: Ticks) -> None:
    rig.terminal.history["EURUSD"] = rows
    # The first poll's tail holds all it read; after the second it holds the last seconds.
    for after_ms in (0, 1000):
        rig.source.now_msc = NOON_MSC + minute * MINUTE_MS + after_ms
        rig.poller.poll()


def request(rig: Rig, from_minute: int, to_minute: int, *, symbol: str = "EURUSD") -> int:
    return backfill.request(
        feed_id=rig.feeds[symbol].pk,
        from_msc=NOON_MSC + from_minute * MINUTE_MS,
        to_msc=NOON_MSC + to_minute * MINUTE_MS,
        reason="a test",
    )


def ask(rig: Rig, from_minute: int, to_minute: int) -> Backfill:
    request_id = request(rig, from_minute, to_minute)
    Backfiller(rig.poller).run()
    return Backfill.objects.get(pk=request_id)


def test_only_the_rows_that_are_missing_in_the_period_are_captured() -> None:
    rig = make_rig("EURUSD")
    at(rig, 300, quotes(0, 10, 20, 290))
    rig.terminal.history["EURUSD"] = quotes(0, 5, 10, 15, 20, 250, 290)

    asked = ask(rig, 0, 18)

    assert (asked.state, asked.captured, asked.gone) == ("DONE", 2, 0)
    assert sorted(captured(rig)["time_msc"].tolist()) == quotes(0, 5, 10, 15, 20, 290)["time_msc"].tolist()


def test_a_backfill_leaves_the_cursor_where_it_was_and_capture_goes_on() -> None:
    rig = make_rig("EURUSD")
    at(rig, 300, quotes(0, 290))
    rig.terminal.history["EURUSD"] = quotes(0, 5, 290)
    ask(rig, 0, 18)

    rig.poller.load()
    at(rig, 301, quotes(0, 5, 290, 301))

    assert captured(rig)["time_msc"].tolist() == quotes(0, 5, 290, 301)["time_msc"].tolist()


def test_a_second_backfill_of_the_same_period_finds_nothing() -> None:
    rig = make_rig("EURUSD")
    at(rig, 300, quotes(0, 290))
    rig.terminal.history["EURUSD"] = quotes(0, 5, 290)
    ask(rig, 0, 18)

    assert ask(rig, 0, 18).captured == 0


def test_what_the_broker_changed_is_told_with_both_sides_and_kept() -> None:
    rig = make_rig("EURUSD")
    at(rig, 300, quotes(0, 5, 290))
    changed = make_ticks([(5 * MINUTE_MS, 9.0, 9.1)])
    rig.terminal.history["EURUSD"] = tick_arrays.join([quotes(0), changed, quotes(290)])

    asked = ask(rig, 0, 18)
    running.drain()

    assert (asked.state, asked.captured, asked.gone) == ("DONE", 1, 1)
    assert len(captured(rig)) == 4
    evidence = Finding.objects.get(cause="HISTORY_CHANGED").evidence
    assert [(row["time_msc"], row["bid"]) for row in evidence["gone"]] == [(str(NOON_MSC + 5 * MINUTE_MS), "1.005")]
    assert [(row["time_msc"], row["bid"]) for row in evidence["new"]] == [(str(NOON_MSC + 5 * MINUTE_MS), "9.0")]


def test_a_period_before_the_feed_began_moves_its_begin_back() -> None:
    rig = make_rig("EURUSD")
    at(rig, 300, quotes(-30, -20, 0, 290))
    assert captured(rig)["time_msc"].tolist() == quotes(0, 290)["time_msc"].tolist()

    asked = ask(rig, -25, 1)

    assert asked.captured == 1
    assert Feed.objects.get().begins_msc == NOON_MSC - 25 * MINUTE_MS
    assert captured(rig)["time_msc"].tolist() == quotes(-20, 0, 290)["time_msc"].tolist()


def look(rig: Rig, backfiller: Backfiller, minute: float, rows: Ticks) -> None:
    """Poll once, and go one step on with the past, as a running poller does."""
    rig.terminal.history["EURUSD"] = rows
    rig.source.now_msc = NOON_MSC + round(minute * MINUTE_MS)
    rig.poller.is_stale = False
    repeating.repeat(rig.poller, lambda: polling.step(rig.poller, None, backfiller), lambda: True)
    assert not rig.poller.is_stale


def test_a_period_that_cannot_be_read_stays_open_with_its_reason_until_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "_AGAIN_S", 0.0)
    rig = make_rig("EURUSD")
    at(rig, 300, quotes(0, 290))
    backfiller = Backfiller(rig.poller)
    request_id = request(rig, 0, 18)
    rig.terminal.fails.add("EURUSD")
    # The poll's own read has not failed yet.
    backfiller.step()
    failed = Backfill.objects.get(pk=request_id)
    rig.terminal.fails.clear()
    rig.terminal.history["EURUSD"] = quotes(0, 5, 290)
    backfiller.run()

    assert (failed.state, failed.failure) == ("OPEN", "EURUSD: terminal error -4 Terminal: Not found")
    asked = Backfill.objects.get(pk=request_id)
    assert (asked.state, asked.captured, asked.failure) == ("DONE", 1, "")


def test_a_symbol_that_cannot_be_read_does_not_hold_up_the_requests_of_others() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    rig.terminal.history["GBPUSD"] = quotes(0, 290)
    at(rig, 300, quotes(0, 290))
    rig.terminal.history |= {"EURUSD": quotes(0, 5, 290), "GBPUSD": quotes(0, 5, 290)}
    rig.terminal.fails.add("EURUSD")
    rig.poller.poll()

    first, second = request(rig, 0, 18), request(rig, 0, 18, symbol="GBPUSD")
    Backfiller(rig.poller).run()

    assert (Backfill.objects.get(pk=first).state, Backfill.objects.get(pk=second).captured) == ("OPEN", 1)


def test_a_request_is_not_done_while_the_broker_is_not_reached_and_is_read_again_where_it_was_lost() -> None:
    rig = make_rig("EURUSD")
    source = rig.source = ScriptedSource(rig.terminal, ("EURUSD",), now_msc=NOON_MSC)
    rig.poller.source = source
    at(rig, 300, quotes(0, 290))
    backfiller = Backfiller(rig.poller)
    request_id = request(rig, 0, 60)

    def poll(minute: int, link: Link, *minutes: int) -> None:
        source.steps = [Step(NOON_MSC + minute * MINUTE_MS, {"EURUSD": quotes(*minutes)}, link=link)]
        polling.step(rig.poller, None, backfiller)

    # Without its broker the terminal answers from what it knows: found lost only after half the period was read.
    for _ in range(6):
        poll(301, Link.CONNECTED, 0, 290)
    for _ in range(20):
        poll(302, Link.LINK_LOST, 0, 290)
    lost = Backfill.objects.get(pk=request_id)
    for _ in range(20):
        poll(303, Link.CONNECTED, 0, 5, 55, 290)

    assert lost.state == "OPEN"
    asked = Backfill.objects.get(pk=request_id)
    assert (asked.state, asked.captured) == ("DONE", 2)


def test_a_request_for_a_symbol_that_is_not_captured_any_more_has_failed() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    rig.source.symbols = ("EURUSD",)
    rig.poller.load()
    at(rig, 300, quotes(0, 290))

    request_id = request(rig, -10, 18, symbol="GBPUSD")
    Backfiller(rig.poller).run()

    asked = Backfill.objects.get(pk=request_id)
    assert (asked.state, asked.failure) == ("FAILED", "symbol is not captured by this source")
    assert Feed.objects.get(symbol="GBPUSD").begins_msc == NOON_MSC


def test_a_backfill_goes_on_beside_ticks_that_come_with_each_poll() -> None:
    rig = make_rig("EURUSD")
    known = [*range(0, 300, 10)]
    at(rig, 300, quotes(*known))
    backfiller = Backfiller(rig.poller)
    # In the fourth, the seventh and the tenth slice of five minutes.
    missing, live = [17, 32, 47], []
    request_id = request(rig, 0, 60)

    for i in range(20):
        live.append(301 + i)
        look(rig, backfiller, 301 + i, quotes(*sorted(known + missing + live)))

    asked = Backfill.objects.get(pk=request_id)
    assert (asked.state, asked.captured) == ("DONE", 3)
    assert sorted(captured(rig)["time_msc"].tolist()) == quotes(*sorted(known + missing + live))["time_msc"].tolist()


def test_a_backfill_before_the_begin_of_a_feed_without_ticks_captures_each_once() -> None:
    rig = make_rig("EURUSD")
    # The first lies exactly where the period begins, the last in the tail's ten seconds before the feed's begin.
    rows = make_ticks([(minute * MINUTE_MS, 1.0, 1.1 + minute / 1e3) for minute in range(-60, 0)] + [(-1, 1.5, 1.6)])
    at(rig, 5, rows)
    backfiller = Backfiller(rig.poller)
    request_id = request(rig, -60, 0)

    for i in range(20):
        look(rig, backfiller, 6 + i / 100, rows)
    rig.poller.load()
    for i in range(3):
        look(rig, backfiller, 7 + i, rows)
    running.drain()

    assert Backfill.objects.get(pk=request_id).state == "DONE"
    assert Feed.objects.get().begins_msc == rows["time_msc"][0]
    assert sorted(captured(rig)["time_msc"].tolist()) == rows["time_msc"].tolist()
    assert not Finding.objects.filter(cause="HISTORY_CHANGED").exists()
    # What the poller reads again each second is what it captured itself.
    assert len(rig.poller.states[0].tail.rows) <= 1


def test_the_command_fills_the_history_before_from(tmp_path: Path) -> None:
    rows = make_ticks([(i * 1000, 1.0 + i / 1e5, 1.1) for i in range(3000)])
    np.savez(tmp_path / "EURUSD.npz", ticks=rows)
    running.capture(f"replay:{tmp_path / 'EURUSD.npz'}?symbol=EURUSD&speed=max&name=r&from={NOON_MSC + 2_000_000}")
    assert sum(Batch.objects.values_list("tick_count", flat=True)) == 1000

    call_command("backfill", feed="EURUSD", from_time=str(NOON_MSC), to_time=str(NOON_MSC + 2_000_000))
    running.drain()

    exporting.export(
        feed=reference.one_feed(symbol="EURUSD", source=None),
        from_msc=EVER[0],
        to_msc=EVER[1],
        with_quarantined=False,
        out=tmp_path / "out.npz",
    )
    assert compare_export.compare(compare_export.load(tmp_path / "out.npz"), rows) == (0, 0)
    report = reconcile.reconcile(Scope(is_deep=True))
    assert (report.captured, report.lost, report.stored_twice, report.differences) == (3000, 0, 0, [])
