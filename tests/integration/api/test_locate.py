"""Where a tick is, asked over REST."""

from typing import Any

import numpy as np
import pytest
from django.test import Client

from ingest.models import Batch
from quality.models import QuarantinedTick
from storage.tick_writer import copy
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.integration.test_quarantine import hold, release
from tests.piping import capture
from tests.rows import one_row
from tickhub import pipeline
from tickhub.core import clock
from tickhub.quarantine import decisions

pytestmark = pytest.mark.usefixtures("database")


def locate(rig: Rig, after_ms: int, seq: int = 0, *, status: int = 200) -> dict[str, Any]:  # Any: JSON
    query = {"feed": rig.feeds["EURUSD"].pk, "time_msc": NOON_MSC + after_ms, "seq": seq}
    response = Client().get("/api/v1/ticks/locate/", query)
    assert response.status_code == status
    return dict(response.json())


def test_a_stored_tick_is_found_with_its_batch_values_and_flags() -> None:
    rig = hold((0, 1.1, 1.2), (5, 1.3, 1.2), (5, 1.1, 0))
    batch = Batch.objects.get()
    assert batch.stored_at is not None

    assert locate(rig, 5, 1) == {
        "feed": rig.feeds["EURUSD"].pk,
        "symbol": "EURUSD",
        "source": "hand",
        "time_msc": NOON_MSC + 5,
        "time": "2026-03-02T12:00:00.005Z",
        "seq": 1,
        "captured": {
            "batch": batch.pk,
            "status": "STORED",
            "captured_at": clock.iso(clock.from_datetime(batch.captured_at)),
            "failure": None,
        },
        "stored": {
            "batch": batch.pk,
            "seq": 1,
            "known_at": clock.iso(clock.from_datetime(batch.stored_at)),
            "bid": 1.1,
            "ask": None,
            "last": None,
        },
        "flags": ["NO_ASK"],
        "quarantined": None,
    }
    assert locate(rig, 5, 0)["flags"] == ["CROSSED"]


def test_a_held_tick_is_found_in_quarantine_and_after_its_release_in_the_table_too() -> None:
    rig = hold((0, 1.1, 1.2), (5, -1.1, 1.2))

    found = locate(rig, 5)
    assert found["captured"]["status"] == "STORED"
    assert (found["stored"], found["flags"]) == (None, ["NEGATIVE"])
    assert (found["quarantined"]["state"], found["quarantined"]["reasons"]) == ("HELD", ["NEGATIVE"])

    release()
    found, row = locate(rig, 5), QuarantinedTick.objects.get()
    assert row.decided_at is not None
    decided_at = clock.iso(clock.from_datetime(row.decided_at))
    assert (found["stored"]["bid"], found["stored"]["known_at"]) == (-1.1, decided_at)
    assert found["flags"] == ["NEGATIVE", "RELEASED"]
    assert (found["quarantined"]["state"], found["quarantined"]["decided_at"]) == ("RELEASED", decided_at)


def test_a_rejected_tick_is_in_quarantine() -> None:
    rig = hold((0, 1.1, 1.2), (5, -1.1, 1.2))
    ids = list(QuarantinedTick.objects.values_list("pk", flat=True))
    decisions.reject(row_ids=ids, reason="a typing error", actor="day shift")

    assert locate(rig, 5)["quarantined"]["state"] == "REJECTED"


def test_a_tick_released_under_another_seq_is_found_by_both() -> None:
    rig = hold((0, 1.1, 1.2), (5, -1.1, 1.2))
    copy(one_row(rig.feeds["EURUSD"].pk, make_ticks([(5, 1.5, 1.6)]), seq=0, batch_id=rig.published[0]))
    row = QuarantinedTick.objects.get()
    QuarantinedTick.objects.update(state="RELEASED", stored_seq=1)
    copy(one_row(row.feed_id, make_ticks([(5, -1.1, 1.2)]), seq=1, batch_id=row.batch_id))

    taken, own = locate(rig, 5, 0), locate(rig, 5, 1)

    assert (taken["stored"]["bid"], taken["quarantined"]["stored_seq"]) == (1.5, 1)
    assert (own["stored"]["bid"], own["quarantined"]["stored_seq"]) == (-1.1, 1)


def test_a_price_that_is_no_number_is_null() -> None:
    rig = hold((0, 1.1, 1.2), (5, float("nan"), float("inf")))
    release()

    assert [locate(rig, 5)["stored"][side] for side in ("bid", "ask")] == [None, None]
    newest = Client().get("/api/v1/ticks/latest/")
    assert (newest.status_code, newest.json()["EURUSD"]["bid"]) == (200, None)


@pytest.mark.parametrize("status", ["WAITING", "FAILED"])
def test_a_tick_that_is_captured_and_not_stored_is_found_by_its_batch(status: str) -> None:
    rig = make_rig("EURUSD", offset_ms=3 * 3_600_000)
    batch_id = capture(rig, make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.2)], start_msc=NOON_MSC + 3 * 3_600_000))
    Batch.objects.update(status=status, failure="a check raised" if status == "FAILED" else "")

    found = locate(rig, 5)

    assert (found["captured"]["batch"], found["captured"]["status"]) == (batch_id, status)
    assert (found["stored"], found["quarantined"], found["flags"]) == (None, None, [])


def test_what_is_nowhere_is_told_with_the_reason() -> None:
    rig = hold((0, 1.1, 1.2), (10, 1.1, 1.2))
    feed = rig.feeds["EURUSD"]
    name = f"feed {feed.pk} (EURUSD of hand) has no tick"

    assert [
        locate(rig, after_ms, seq, status=404)["detail"] for after_ms, seq in ((0, 3), (5, 0), (11, 0), (-1, 0))
    ] == [
        f"{name} {NOON_MSC}/3: of that millisecond the seqs 0 were captured",
        f"{name} {NOON_MSC + 5}/0: nothing of that millisecond was captured",
        f"{name} {NOON_MSC + 11}/0: it is complete up to 2026-03-02T12:00:00.010Z only",
        f"{name} {NOON_MSC - 1}/0: capture of it begins at 2026-03-02T12:00:00.000Z",
    ]


def test_a_feed_without_ticks_and_one_that_is_not_known_are_told() -> None:
    rig = make_rig("EURUSD")

    assert "nothing of it was captured yet" in locate(rig, 5, status=404)["detail"]
    response = Client().get("/api/v1/ticks/locate/?feed=4711&time_msc=1")
    assert (response.status_code, response.json()) == (404, {"detail": "feed 4711 is not known"})


def test_bad_input_is_one_clear_line() -> None:
    response = Client().get("/api/v1/ticks/locate/?feed=1&time_msc=%00")

    assert response.status_code == 400
    assert response.json() == {"detail": r"time_msc: '\x00' holds a character that cannot be printed"}


def test_any_time_that_a_tick_may_have_is_looked_for() -> None:
    rig = hold((0, 1.1, 1.2))
    address = f"/api/v1/ticks/locate/?feed={rig.feeds['EURUSD'].pk}&time_msc="

    assert [
        Client().get(f"{address}{time_msc}").status_code
        for time_msc in ("9223372036854775807", "-9223372036854775808", "2026-03-02T12:00:00Z")
    ] == [404, 404, 200]


def test_a_held_tick_of_an_impossible_time_is_found() -> None:
    rig = make_rig("EURUSD")
    shown = make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.2)]).copy()
    shown["time_msc"][1] = np.iinfo(np.int64).max - 1
    shown["time"][1] = (np.iinfo(np.int64).max - 1) // 1000
    rig.terminal.history["EURUSD"] = shown
    rig.source.now_msc += 10
    rig.poller.poll()
    pipeline.process(batch_id=rig.published[-1])

    row = QuarantinedTick.objects.get()
    response = Client().get("/api/v1/ticks/locate/", {"feed": row.feed_id, "time_msc": row.time_msc})
    assert response.json()["quarantined"]["state"] == "HELD"
