"""Stretches of history read again: only what is missing is captured, what changed is told and never overwritten."""

from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command

from ingest import backfill
from ingest.backfill import Backfiller
from ingest.models import Backfill, Batch
from quality.models import Finding
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.integration.test_capture import captured
from tests.oracle import compare_export
from tickhub import exporting, reconcile
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


def ask(rig: Rig, from_minute: int, to_minute: int) -> Backfill:
    request_id = backfill.request(
        feed_id=rig.feeds["EURUSD"].pk,
        from_msc=NOON_MSC + from_minute * MINUTE_MS,
        to_msc=NOON_MSC + to_minute * MINUTE_MS,
        reason="a test",
    )
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


def test_a_terminal_that_cannot_be_read_fails_the_request_and_not_capture() -> None:
    rig = make_rig("EURUSD")
    at(rig, 300, quotes(0, 290))
    rig.terminal.fails.add("EURUSD")

    asked = ask(rig, 0, 18)

    assert (asked.state, asked.failure) == ("FAILED", "EURUSD: terminal error -4 Terminal: Not found")


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
