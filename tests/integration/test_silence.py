"""The states of feeds on the real database, as the API serves them, and the hours that they are learned from."""

from typing import Any

import pytest
from django.test import Client

from ingest import leases
from ingest.connections import ConnectionLog
from ingest.models import Lease
from ingest.sources.terminal import Health, Link
from quality.models import Examination, FeedHour
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tickhub import examining
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS
from tickhub.reference.models import Feed, Instrument, Source

pytestmark = pytest.mark.usefixtures("database")

NOON_HOUR = NOON_MSC // HOUR_MS


def feeds() -> dict[str, dict[str, Any]]:  # Any: JSON
    return {feed["symbol"]: feed for feed in Client().get("/api/v1/feeds/").json()}


def capture(rig: Rig, silent_ms: dict[str, int]) -> None:
    """Capture one tick of each symbol, so long ago by the host's clock."""
    now_msc = clock.now_msc()
    Instrument.objects.update(calendar=None)
    for symbol, ms in silent_ms.items():
        rig.terminal.history[symbol] = make_ticks([(-ms, 1.1, 1.2)], start_msc=now_msc)
    rig.source.now_msc = now_msc
    Feed.objects.update(begins_msc=now_msc - 3 * HOUR_MS)
    rig.poller.poll()


def note(rig: Rig, link: Link) -> None:
    log = ConnectionLog(source_id=rig.poller.target.source_id, name="hand")
    log.note(Health(link), is_ok=True, answers=True)
    log.write()


def test_a_dead_feed_among_live_ones_is_stalled_before_anything_is_stored() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    capture(rig, {"EURUSD": 0, "GBPUSD": 3_000_000})
    note(rig, Link.CONNECTED)

    found = feeds()

    assert found["EURUSD"]["state"] in ("live", "quiet")
    assert found["GBPUSD"]["state"] == "stalled"
    assert (found["GBPUSD"]["allowed_ms"], found["GBPUSD"]["live_others"]) == (60_000, 1)
    assert found["GBPUSD"]["silent_ms"] >= 3_000_000
    assert found["GBPUSD"]["replay"] is False


@pytest.mark.parametrize(
    ("link", "reason"),
    [(Link.IPC_LOST, "the terminal does not answer"), (Link.LINK_LOST, "the terminal has lost its broker")],
)
def test_a_dead_terminal_is_told_from_a_dead_broker(link: Link, reason: str) -> None:
    rig = make_rig("EURUSD")
    capture(rig, {"EURUSD": 0})
    note(rig, link)

    found = feeds()["EURUSD"]

    assert (found["state"], found["reason"]) == ("disconnected", reason)


def test_a_source_that_nobody_captures_is_disconnected_and_says_since_when() -> None:
    rig = make_rig("EURUSD")
    capture(rig, {"EURUSD": 0})
    assert feeds()["EURUSD"]["reason"] == "nobody has captured the source yet"
    note(rig, Link.CONNECTED)
    leases.release(rig.poller.lease)

    found = feeds()["EURUSD"]

    assert found["state"] == "disconnected"
    assert found["reason"].startswith("nobody captures the source since 20")
    assert Lease.objects.count() == 1


def test_a_recording_is_judged_at_the_time_it_has_reached() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2), (3_600_000, 1.1, 1.2)])
    rig.terminal.history["GBPUSD"] = make_ticks([(0, 1.1, 1.2)])
    rig.source.now_msc += 3_600_001
    rig.poller.poll()
    Source.objects.update(is_replay=True)

    found = feeds()

    assert {symbol: feed["state"] for symbol, feed in found.items()} == {"EURUSD": "live", "GBPUSD": "stalled"}
    assert found["GBPUSD"]["replay"] is True
    assert found["GBPUSD"]["since"] == clock.iso(NOON_MSC)


def test_whole_hours_up_to_the_watermark_of_the_source_are_learned_once() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2), (700, 1.1, 1.2), (2 * HOUR_MS + 5, 1.1, 1.2)])
    rig.terminal.history["GBPUSD"] = make_ticks([(HOUR_MS, 1.1, 1.2)])
    rig.source.now_msc += 2 * HOUR_MS + 10
    rig.poller.poll()
    assert examining.examine() == 0
    running.drain()

    assert [examining.examine(), examining.examine()] == [2, 0]

    found = FeedHour.objects.order_by("feed__symbol", "hour").values_list(
        "feed__symbol", "hour", "ticks", "usual_gap_ms"
    )
    assert list(found) == [
        ("EURUSD", NOON_HOUR, 2, 700),
        ("EURUSD", NOON_HOUR + 1, 0, None),
        ("GBPUSD", NOON_HOUR, 0, None),
        ("GBPUSD", NOON_HOUR + 1, 1, None),
    ]
    assert Examination.objects.get().next_hour == NOON_HOUR + 2


def test_what_was_learned_is_what_a_feed_is_allowed() -> None:
    rig = make_rig("EURUSD")
    capture(rig, {"EURUSD": 100_000})
    note(rig, Link.CONNECTED)
    hour = clock.now_msc() // HOUR_MS
    for weeks in (1, 2):
        FeedHour.objects.create(feed=rig.feeds["EURUSD"], hour=hour - 168 * weeks, ticks=9, usual_gap_ms=30_000)

    assert feeds()["EURUSD"]["allowed_ms"] == 150_000
    assert feeds()["EURUSD"]["state"] == "quiet"
