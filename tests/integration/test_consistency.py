"""Stations compared row by row: each way of differing is told with its first row, and resolved when mended."""

from typing import Any

import pytest
from django.db import connection, transaction

from ingest import recount
from ingest.models import Batch
from quality.models import Incident
from storage import latest
from storage.latest import LatestTick
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.piping import NAN, capture
from tests.wire_client import digest
from tickhub import consistency
from tickhub.consistency import stations, turns
from tickhub.consistency.stations import Difference, NoDifference
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


def compare(rig: Rig) -> Difference | NoDifference:
    feed = rig.feeds["EURUSD"]
    return stations.compare(source_id=feed.source_id, feed_ids=[feed.pk], hour=HOUR)[feed.pk]


def difference(rig: Rig) -> Difference:
    found = compare(rig)
    assert isinstance(found, Difference)
    return found


def watch() -> int:
    return consistency.watch(until_s=clock.monotonic_s() + 10)


def test_stations_that_agree_differ_in_nothing() -> None:
    assert compare(captured()) is NoDifference.AGREE


def test_a_row_that_the_table_lacks_is_named() -> None:
    rig = captured()
    change(f"DELETE FROM tick WHERE time_msc = {NOON_MSC + 9}")

    found = difference(rig)

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

    found = difference(rig)

    assert (found.expected, found.found) == (2, 2)
    assert found.first is not None
    assert (found.first["time_msc"], found.first["ask"], found.first["is"]) == (
        str(NOON_MSC),
        "1.2",
        "captured, and not kept",
    )


def test_the_first_row_of_the_first_minute_that_differs_is_named() -> None:
    rig = make_rig("EURUSD")
    capture(rig, make_ticks([(minute * 60_000 + 59_999, 1.1, 1.2) for minute in range(60)]))
    running.drain()
    change(f"DELETE FROM tick WHERE time_msc IN ({NOON_MSC + 1_859_999}, {NOON_MSC + 3_599_999})")

    found = difference(rig)

    assert (found.expected, found.found) == (60, 58)
    assert found.first is not None
    assert found.first["time_msc"] == str(NOON_MSC + 1_859_999)


def test_a_held_row_that_is_gone_is_found() -> None:
    rig = captured()
    change("DELETE FROM quality_quarantinedtick")

    found = difference(rig)

    assert found.stations == "what was recorded as quarantined, and the quarantine"
    assert found.first is not None
    assert (found.first["time_msc"], found.first["bid"]) == (str(NOON_MSC + 5), "nan")


def test_bytes_that_are_not_those_recorded_are_found() -> None:
    rig = captured()
    change("UPDATE batch_payload SET ticks = set_byte(ticks, 70, (get_byte(ticks, 70) + 1) % 256)")

    found = difference(rig)

    assert found.stations == "what the inbox recorded, and its bytes"


def test_bytes_that_are_cut_short_are_found() -> None:
    rig = captured()
    change("UPDATE batch_payload SET ticks = substr(ticks, 1, 60)")

    found = difference(rig)

    assert found.stations == "what the inbox recorded, and its bytes"
    assert (found.expected, found.found) == (3, 1)


def test_a_record_that_does_not_add_up_is_found() -> None:
    rig = captured()
    change("UPDATE ingest_batch SET outcome = jsonb_set(outcome, '{0,held}', '{}')")
    change("DELETE FROM quality_quarantinedtick")

    found = difference(rig)

    assert found.stations == "captured, and what became of it"


def test_bytes_that_were_dropped_leave_the_rest_to_be_compared() -> None:
    rig = captured()
    change("TRUNCATE batch_payload")
    assert compare(rig) is NoDifference.AGREE
    change(f"DELETE FROM tick WHERE time_msc = {NOON_MSC + 9}")

    found = difference(rig)

    assert (found.expected, found.found, found.first) == (2, 1, None)


def test_an_hour_that_a_batch_waits_for_is_not_compared() -> None:
    rig = captured()
    change(f"DELETE FROM tick WHERE time_msc = {NOON_MSC + 9}")
    Batch.objects.update(status="WAITING", stored_at=None, outcome=None)

    assert compare(rig) is NoDifference.NOT_COMPARABLE


def told() -> dict[str, Any]:  # Any: JSON
    """State and evidence of the one incident."""
    incident = Incident.objects.get(cause="STATIONS_DIFFER")
    return {"state": incident.state} | incident.evidence


def test_every_hour_has_its_turn_and_a_difference_is_an_incident_until_it_is_mended() -> None:
    captured()
    change(f"UPDATE tick SET ask = 9.5 WHERE time_msc = {NOON_MSC}")

    assert watch() == 24
    before = told()
    change(f"UPDATE tick SET ask = 1.2 WHERE time_msc = {NOON_MSC}")
    assert watch() == 24

    assert (before["state"], before["hour"]) == ("OPEN", "2026-03-02T12:00:00.000Z")
    assert before["first"]["ask"] == "1.2"
    assert told()["state"] == "RESOLVED"


def test_a_batch_that_waits_resolves_nothing() -> None:
    rig = captured()
    change(f"DELETE FROM tick WHERE time_msc = {NOON_MSC + 9}")
    watch()
    before = told()
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2), (5, NAN, 1.2), (9, 1.1, 1.25), (20, 1.1, 1.2)])
    rig.source.now_msc += 1000
    assert rig.poller.poll() == 1

    watch()

    assert Batch.objects.filter(status="WAITING").count() == 1
    assert before["state"] == "OPEN"
    assert told() == before


def test_an_incident_lasts_until_the_last_of_its_hours_is_mended() -> None:
    rig = captured()
    capture(rig, make_ticks([(0, 1.1, 1.2), (5, NAN, 1.2), (9, 1.1, 1.25), (HOUR_MS, 1.1, 1.2)]))
    running.drain()
    for time_msc in (NOON_MSC, NOON_MSC + HOUR_MS):
        change(f"UPDATE tick SET ask = 9.5 WHERE time_msc = {time_msc}")

    watch()
    both = told()
    change(f"UPDATE tick SET ask = 1.2 WHERE time_msc = {NOON_MSC}")
    watch()
    one = told()
    change(f"UPDATE tick SET ask = 1.2 WHERE time_msc = {NOON_MSC + HOUR_MS}")
    watch()

    assert (both["state"], both["hour"]) == ("OPEN", "2026-03-02T12:00:00.000Z")
    assert [other["hour"] for other in both["others"]] == ["2026-03-02T13:00:00.000Z"]
    assert (one["state"], one["hour"]) == ("OPEN", "2026-03-02T13:00:00.000Z")
    assert one["first"]["time_msc"] == str(NOON_MSC + HOUR_MS)
    assert "others" not in one
    assert told()["state"] == "RESOLVED"


def test_an_hour_of_a_source_is_compared_for_all_of_its_feeds_at_once() -> None:
    rig = make_rig("EURUSD", "GBPUSD", "USDJPY")
    for symbol in rig.feeds:
        rig.terminal.history[symbol] = make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.2)])
    rig.source.now_msc += 1000
    rig.poller.poll()
    running.drain()
    for symbol in ("EURUSD", "USDJPY"):
        change(f"DELETE FROM tick WHERE time_msc = {NOON_MSC} AND feed_id = {rig.feeds[symbol].pk}")

    assert watch() == 24

    incidents = Incident.objects.filter(cause="STATIONS_DIFFER", state="OPEN")
    assert sorted(incidents.values_list("feed__symbol", flat=True)) == ["EURUSD", "USDJPY"]


def test_runs_without_time_go_on_from_hour_to_hour_though_one_differs_for_good() -> None:
    rig = make_rig("EURUSD")
    midnight_ms = 12 * HOUR_MS
    capture(rig, make_ticks([(midnight_ms, 1.1, 1.2), (midnight_ms + 2 * HOUR_MS, 1.1, 1.2)]))
    running.drain()
    change("UPDATE tick SET ask = 9.5")

    # Three walks by turns: that over all hours comes to its third in nine runs.
    assert [consistency.watch(until_s=clock.monotonic_s()) for _ in range(9)] == [1] * 9

    assert told()["hour"] == "2026-03-03T00:00:00.000Z"
    assert [other["hour"] for other in told()["others"]] == ["2026-03-03T02:00:00.000Z"]


def test_an_hour_that_is_not_over_has_no_turn() -> None:
    rig = make_rig("EURUSD")
    ahead_ms = clock.now_msc() + 2 * HOUR_MS - NOON_MSC
    capture(rig, make_ticks([(0, 1.1, 1.2), (ahead_ms, 1.1, 1.2)]))
    running.drain()
    change(f"UPDATE tick SET ask = 9.5 WHERE time_msc = {NOON_MSC + ahead_ms}")

    assert watch() >= 24

    assert not Incident.objects.filter(cause="STATIONS_DIFFER").exists()


def taken(walks: dict[str, list[turns.Place]], *, most: int) -> list[turns.Place]:
    return list(turns.take(walks, most=most))


def test_walks_go_on_where_they_were_left_whatever_is_added_to_them() -> None:
    assert taken({"all": [(1, 7), (1, 8), (2, 7), (2, 8)]}, most=3) == [(1, 7), (1, 8), (2, 7)]

    assert taken({"all": [(0, 7), (0, 8), (1, 7), (1, 8), (2, 7), (2, 8), (3, 7)]}, most=4) == [
        (2, 8),
        (3, 7),
        (0, 7),
        (0, 8),
    ]


def test_each_walk_has_its_turn_though_a_run_has_time_for_one_place_only() -> None:
    walks: dict[str, list[turns.Place]] = {"few": [(9, 1)], "many": [(hour, 1) for hour in range(5)]}

    runs = [taken(walks, most=1)[0] for _ in range(6)]

    assert sorted(runs) == [(0, 1), (1, 1), (2, 1), (9, 1), (9, 1), (9, 1)]


def test_a_place_on_several_walks_is_taken_once_in_a_run_and_empty_walks_hold_up_none() -> None:
    walks: dict[str, list[turns.Place]] = {"none": [], "recent": [(2, 1)], "all": [(1, 1), (2, 1)]}

    assert sorted(taken(walks, most=9)) == [(1, 1), (2, 1)]


def test_bytes_of_more_batches_than_are_read_at_once_are_digested_by_feed() -> None:
    rig = make_rig("EURUSD", "GBPUSD", offset_ms=7_200_000)
    shown: list[tuple[int, float, float]] = []
    for place in range(20):
        shown.append((place + 7_200_000, 1.1, 1.2 + place))
        rig.terminal.history["EURUSD"] = make_ticks(shown)
        rig.terminal.history["GBPUSD"] = make_ticks([*shown, (place + 3 * HOUR_MS, 1.0, 2.0)])
        rig.source.now_msc += 1
        rig.poller.poll()
    rows = [(0, 1.1, 1.2 + place, 0.0, 0, NOON_MSC + place, 6, 0.0) for place in range(20)]

    with transaction.atomic():
        found = recount.digests(
            source_id=rig.poller.target.source_id,
            from_msc=NOON_MSC,
            to_msc=NOON_MSC + HOUR_MS,
            status="WAITING",
            step_ms=10,
        )

    assert Batch.objects.count() == 20
    steps = {NOON_MSC // 10: digest(rows[:10]), NOON_MSC // 10 + 1: digest(rows[10:])}
    assert {feed_id: {step: value.as_list() for step, value in own.items()} for feed_id, own in found.items()} == {
        feed.pk: steps for feed in rig.feeds.values()
    }


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
