"""Stations compared row by row: each way of differing is told with its first row, and resolved when mended."""

import pytest
from django.db import connection

from ingest.models import Batch
from quality.models import Incident
from storage import latest
from storage.latest import LatestTick
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.piping import NAN, capture
from tickhub import consistency
from tickhub.consistency import Difference
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS

pytestmark = pytest.mark.usefixtures("database")

HOUR = NOON_MSC // HOUR_MS


def captured() -> Rig:
    """Three ticks of an hour, of which one is held."""
    rig = make_rig("EURUSD")
    capture(rig, make_ticks([(0, 1.1, 1.2), (5, NAN, 1.2), (9, 1.1, 1.25)]))
    running.drain()
    return rig


def change(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def compare(rig: Rig) -> Difference | None:
    return consistency.compare(rig.feeds["EURUSD"], HOUR)


def watch() -> int:
    return consistency.watch(until_s=clock.monotonic_s() + 10)


def test_stations_that_agree_differ_in_nothing() -> None:
    assert compare(captured()) is None


def test_a_row_that_the_table_lacks_is_named() -> None:
    rig = captured()
    change(f"DELETE FROM tick WHERE time_msc = {NOON_MSC + 9}")

    found = compare(rig)

    assert found is not None
    assert (found.stations, found.expected, found.found) == ("what was recorded as stored, and the tick table", 2, 1)
    assert found.first == {
        "time_msc": str(NOON_MSC + 9),
        "bid": "1.1",
        "ask": "1.25",
        "last": "0.0",
        "volume_real": "0.0",
        "flags": "6",
        "is": "captured, and not kept",
    }


def test_a_value_that_was_changed_is_found_though_the_counts_agree() -> None:
    rig = captured()
    change(f"UPDATE tick SET ask = 9.5 WHERE time_msc = {NOON_MSC}")

    found = compare(rig)

    assert found is not None
    assert (found.expected, found.found) == (2, 2)
    assert found.first is not None
    assert (found.first["time_msc"], found.first["ask"], found.first["is"]) == (
        str(NOON_MSC),
        "1.2",
        "captured, and not kept",
    )


def test_a_held_row_that_is_gone_is_found() -> None:
    rig = captured()
    change("DELETE FROM quality_quarantinedtick")

    found = compare(rig)

    assert found is not None
    assert found.stations == "what was recorded as quarantined, and the quarantine"
    assert found.first is not None
    assert (found.first["time_msc"], found.first["bid"]) == (str(NOON_MSC + 5), "nan")


def test_bytes_that_are_not_those_recorded_are_found() -> None:
    rig = captured()
    change("UPDATE batch_payload SET ticks = set_byte(ticks, 70, (get_byte(ticks, 70) + 1) % 256)")

    found = compare(rig)

    assert found is not None
    assert found.stations == "what the inbox recorded, and its bytes"


def test_a_record_that_does_not_add_up_is_found() -> None:
    rig = captured()
    change("UPDATE ingest_batch SET outcome = jsonb_set(outcome, '{0,held}', '{}')")
    change("DELETE FROM quality_quarantinedtick")

    found = compare(rig)

    assert found is not None
    assert found.stations == "captured, and what became of it"


def test_bytes_that_were_dropped_leave_the_rest_to_be_compared() -> None:
    rig = captured()
    change("TRUNCATE batch_payload")
    assert compare(rig) is None
    change(f"DELETE FROM tick WHERE time_msc = {NOON_MSC + 9}")

    found = compare(rig)

    assert found is not None
    assert (found.expected, found.found, found.first) == (2, 1, None)


def test_an_hour_that_a_batch_waits_for_is_not_compared() -> None:
    rig = captured()
    change(f"DELETE FROM tick WHERE time_msc = {NOON_MSC + 9}")
    Batch.objects.update(status="WAITING", stored_at=None, outcome=None)

    assert compare(rig) is None


def test_every_hour_has_its_turn_and_a_difference_is_an_incident_until_it_is_mended() -> None:
    captured()
    change(f"UPDATE tick SET ask = 9.5 WHERE time_msc = {NOON_MSC}")

    assert watch() == 24
    told = Incident.objects.get(cause="STATIONS_DIFFER")
    change(f"UPDATE tick SET ask = 1.2 WHERE time_msc = {NOON_MSC}")
    assert watch() == 25
    mended = Incident.objects.get(cause="STATIONS_DIFFER")

    assert told.evidence["hour"] == "2026-03-02T12:00:00.000Z"
    assert told.evidence["first"]["ask"] == "1.2"
    assert (told.state, mended.state) == ("OPEN", "RESOLVED")


def test_a_cached_tick_that_the_table_does_not_know_is_told() -> None:
    rig = captured()
    feed_id = rig.feeds["EURUSD"].pk
    watch()
    assert not Incident.objects.exists()

    latest.publish([LatestTick(feed_id, NOON_MSC + 10, 0, 1.5, 1.6, 0.0, 0.0, 0)])
    watch()

    assert Incident.objects.get().cause == "CACHE_AHEAD"
    latest.forget([feed_id])
    watch()
    assert Incident.objects.get().state == "RESOLVED"
