"""Where a correction of the clock leaves a terminal's cursors, and that capture goes on from there."""

import json
from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command

from ingest import backfill, leases, queries
from ingest.models import Backfill, Cursor, Lease
from ingest.poller import Poller
from ingest.target import Options
from storage import reader
from tests import running
from tests.builders import NOON_MSC
from tests.capturing import Rig, make_rig
from tickhub import reconcile
from tickhub.core.clock import HOUR_MS
from tickhub.core.errors import UsageError
from tickhub.core.ticks import TICK_DTYPE, Ticks
from tickhub.management.periods import EVER
from tickhub.reconcile import Scope
from tickhub.reference import queries as reference

pytestmark = pytest.mark.usefixtures("database")


def quotes(utc_msc: list[int], *, hours: int) -> Ticks:
    """Ticks as a terminal shows them whose clock is so far ahead of UTC."""
    ticks = np.zeros(len(utc_msc), dtype=TICK_DTYPE)
    ticks["time_msc"] = np.array(utc_msc, dtype=np.int64) + hours * HOUR_MS
    ticks["time"], ticks["flags"] = ticks["time_msc"] // 1000, 6
    ticks["bid"] = 1 + np.arange(len(utc_msc)) / 1000
    ticks["ask"] = ticks["bid"] + 1
    return ticks


def correct(clock_text: str) -> dict[str, Any]:  # Any: JSON
    out = StringIO()
    call_command("correct_clock", source="hand", clock=clock_text, json=True, stdout=out, stderr=StringIO())
    return dict(json.loads(out.getvalue().splitlines()[-1]))


def stored(rig: Rig, symbol: str = "EURUSD") -> list[int]:
    rows = reader.read(feed_id=rig.feeds[symbol].pk, from_msc=EVER[0], to_msc=EVER[1])
    times: list[int] = rows.ticks["time_msc"].tolist()
    return times


def poll_each(rig: Rig, symbol: str, ticks: Ticks, *, at_msc: list[int]) -> None:
    """Let a terminal show one row more at each of some times (UTC), and poll it."""
    for number, now_msc in enumerate(at_msc):
        rig.terminal.history[symbol] = ticks[: number + 1]
        rig.source.now_msc = now_msc
        rig.poller.poll()


def stop(rig: Rig) -> None:
    running.drain()
    leases.release(rig.poller.lease)


def started_anew(rig: Rig) -> Poller:
    """A poller as the next process would start it, in the newest epoch of any cursor."""
    old = rig.poller
    epochs = reference.epochs(source_id=old.target.source_id)
    place = max(
        place
        for place, row in enumerate(epochs.rows)
        if row.epoch_id in Cursor.objects.values_list("epoch_id", flat=True)
    )
    feeds = {feed.symbol: (feed.pk, feed.begins_msc) for feed in reference.feeds(source="hand")}
    poller = Poller(
        source=rig.source,
        target=replace(old.target, epochs=epochs, place=place, feeds=feeds),
        lease=leases.acquire(source_id=old.target.source_id, holder="test", ttl_ms=60_000),
        publish=rig.published.append,
        options=Options(page_ticks=1000),
    )
    poller.load()
    return poller


def test_source_of_which_every_tick_came_from_the_future_is_corrected_and_goes_on() -> None:
    # The broker is at +03:00, the source at +02:00: every tick is an hour ahead, and the cursor stays at its begin.
    utc = [NOON_MSC + 1000 * number - 20 for number in range(1, 9)]
    ticks = quotes(utc, hours=3)
    rig = make_rig("EURUSD", offset_ms=2 * HOUR_MS)
    poll_each(rig, "EURUSD", ticks[:7], at_msc=[msc + 20 for msc in utc[:7]])
    assert Cursor.objects.get().taken == 0
    stop(rig)

    correct("+03:00")

    feed_id, source_id = rig.feeds["EURUSD"].pk, rig.poller.target.source_id
    assert stored(rig) == utc[:7]
    assert queries.watermark_msc(feed_id=feed_id, source_id=source_id) == NOON_MSC - HOUR_MS
    assert reconcile.reconcile(Scope(is_deep=True)).stored == 7
    poller = started_anew(rig)
    rig.terminal.history["EURUSD"] = ticks
    rig.source.now_msc = utc[7] + 20
    assert poller.poll() == 1
    rig.poller = poller
    stop(rig)
    assert stored(rig) == utc
    assert queries.watermark_msc(feed_id=feed_id, source_id=source_id) == utc[7]


def test_source_of_which_every_tick_came_from_the_future_is_corrected_twice() -> None:
    utc = [NOON_MSC + 1000 * number - 20 for number in range(1, 4)]
    rig = make_rig("EURUSD", offset_ms=2 * HOUR_MS)
    poll_each(rig, "EURUSD", quotes(utc, hours=4), at_msc=[msc + 20 for msc in utc])
    stop(rig)

    correct("+03:00")
    correct("+04:00")

    assert stored(rig) == utc


def test_cursor_in_an_epoch_that_is_gone_is_named_before_a_tick_moves() -> None:
    rig = make_rig("EURUSD", offset_ms=2 * HOUR_MS)
    poll_each(rig, "EURUSD", quotes([NOON_MSC], hours=2), at_msc=[NOON_MSC + 20])
    stop(rig)
    Cursor.objects.update(epoch_id=999_999)

    with pytest.raises(UsageError, match="stands nowhere: clock epoch 999999: the source has only"):
        correct("+03:00")
    assert stored(rig) == [NOON_MSC]


def test_what_is_doubted_of_the_past_and_asked_for_stays_the_same_on_the_terminals_clock() -> None:
    rig = make_rig("EURUSD", offset_ms=0)
    walls = [NOON_MSC, NOON_MSC + 5 * HOUR_MS]
    poll_each(rig, "EURUSD", quotes(walls, hours=0), at_msc=[wall + 1_000 for wall in walls])
    # What came after noon is doubted: passes have proven only the time up to then.
    rig.poller.doubt(since_msc=NOON_MSC)
    backfill.request(feed_id=rig.feeds["EURUSD"].pk, from_msc=NOON_MSC, to_msc=NOON_MSC + HOUR_MS, reason="test")
    running.drain()
    leases.release(rig.poller.lease)

    correct("+03:00")

    assert Lease.objects.get().covered_msc == NOON_MSC - 3 * HOUR_MS
    asked = Backfill.objects.get()
    assert (asked.from_msc, asked.to_msc) == (NOON_MSC - 3 * HOUR_MS, NOON_MSC - 2 * HOUR_MS)
