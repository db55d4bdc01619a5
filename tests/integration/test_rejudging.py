"""Stored batches judged again: checks left out are made up for, and requality tells before it changes."""

import json
from io import StringIO
from itertools import count
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from ingest.models import Batch
from quality import incidents, lifecycle, thresholds
from quality.models import Finding, Incident, QuarantinedTick, Threshold, UnjudgedBatch
from storage import latest
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.piping import NAN, assert_ledger_is_clean, capture, causes, stored
from tickhub import judging, pipeline
from tickhub.audit.models import Entry
from tickhub.core import clock, flags
from tickhub.quarantine import decisions
from tickhub.reference.models import ClockCorrection, Source
from tickhub.rejudging import unjudged

pytestmark = pytest.mark.usefixtures("database")

DIRTY = make_ticks([(0, 1.1, 1.2), (1, 1.3, 1.2), (2, 1.100001, 1.2), (3, NAN, 1.2), (4, -1.1, 1.2)])
JUDGED = [(), ("CROSSED",), ("OFF_GRID",)]
HELD = [("NOT_FINITE",), ("NEGATIVE",)]


def process_with_slow_checks(batch_id: int) -> None:
    """Let three seconds pass with each look at the clock, so that every check is over its time."""
    ticking = count(start=1_000.0, step=3.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "monotonic_s", lambda: next(ticking))
        pipeline.process(batch_id=batch_id)


def process_slowly(*, is_clean: bool = False) -> Rig:
    """Store the first three ticks, or all with two of them held, with every check left out that may be."""
    rig = make_rig("EURUSD")
    batch_id = capture(rig, DIRTY[:3] if is_clean else DIRTY)
    process_with_slow_checks(batch_id)
    return rig


def make_up() -> int:
    return unjudged.make_up(until_s=clock.monotonic_s() + 60)


def in_table(rig: Rig) -> list[tuple[str, ...]]:
    return [flags.names(value) for value in stored(rig).quality.tolist()]


def in_quarantine() -> list[tuple[str, ...]]:
    return [
        flags.names(value) for value in QuarantinedTick.objects.order_by("position").values_list("quality", flat=True)
    ]


def flagged() -> list[int]:
    return [part["flagged"] for part in outcome()]


def outcome() -> list[dict[str, Any]]:
    """What the only stored batch says became of its ticks."""
    found = Batch.objects.get().outcome
    assert found is not None
    return found


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_batch_whose_checks_are_slow_is_stored_unjudged_and_what_must_be_held_is_held(is_clean: bool) -> None:
    rig = process_slowly(is_clean=is_clean)

    assert in_table(rig) == [("UNJUDGED",)] * 3
    assert in_quarantine() == ([] if is_clean else [("NOT_FINITE", "UNJUDGED"), ("NEGATIVE", "UNJUDGED")])
    row = UnjudgedBatch.objects.get()
    assert (row.batch_id, row.judged_at, row.failure) == (rig.published[0], None, "")
    assert "CROSSED" in row.checks
    assert "NOT_FINITE" not in row.checks
    assert causes()["UNJUDGED"] == (3 if is_clean else 5)
    told = Finding.objects.get(cause="UNJUDGED").evidence["checks"]
    # Each look at the clock was three seconds after the one before; only the first check over its time has run.
    assert sorted(ms for ms in told.values() if ms is not None) in ([], [3000])
    assert set(told) == set(row.checks)


def test_checks_left_out_are_made_up_for_with_the_flags_that_they_would_have_given() -> None:
    rig = process_slowly()

    assert make_up() == 1

    assert in_table(rig) == JUDGED
    assert in_quarantine() == HELD
    assert flagged() == [4]
    found = causes()
    assert (found["CROSSED"], found["OFF_GRID"]) == (1, 1)
    assert UnjudgedBatch.objects.get().judged_at is not None
    assert make_up() == 0
    assert_ledger_is_clean()


def test_the_incident_of_checks_left_out_ends_when_they_are_made_up_for() -> None:
    process_slowly()
    incidents.keep()

    lifecycle.settle(after_s=0)
    assert Incident.objects.get(cause="UNJUDGED").state == "OPEN"

    make_up()
    incidents.keep()
    lifecycle.settle(after_s=0)
    assert Incident.objects.get(cause="UNJUDGED").state == "RESOLVED"


def test_the_latest_tick_follows_its_new_flags() -> None:
    rig = process_slowly(is_clean=True)
    feed_id = rig.feeds["EURUSD"].pk
    assert flags.names(latest.read([feed_id])[feed_id].quality) == ("UNJUDGED",)

    make_up()

    assert flags.names(latest.read([feed_id])[feed_id].quality) == ("OFF_GRID",)


def test_a_released_tick_keeps_what_was_decided() -> None:
    rig = process_slowly()
    negative = QuarantinedTick.objects.get(position=4)
    assert decisions.release(row_ids=[negative.pk], reason="oil", actor="night shift").refused == []

    make_up()

    assert in_table(rig) == [*JUDGED, ("NEGATIVE", "RELEASED")]
    assert in_quarantine()[0] == ("NOT_FINITE",)
    assert_ledger_is_clean()


def test_a_tick_whose_key_was_taken_is_found_by_its_bytes() -> None:
    rig = make_rig("EURUSD")
    pipeline.process(batch_id=capture(rig, make_ticks([(0, 1.1, 1.2)])))
    with connection.cursor() as cursor:
        # As if another writer had been there: the next tick of this millisecond must move on to a free seq.
        cursor.execute("UPDATE tick SET seq = 1")
    batch_id = capture(rig, make_ticks([(0, 1.1, 1.2), (0, 1.3, 1.2)]))
    process_with_slow_checks(batch_id)
    assert stored(rig).seq.tolist() == [1, 2]

    assert make_up() == 1

    assert in_table(rig) == [(), ("CROSSED", "COLLISION")]


def test_a_batch_whose_bytes_are_gone_stays_unjudged_and_says_so() -> None:
    rig = process_slowly(is_clean=True)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM batch_payload")

    assert make_up() == 0

    assert in_table(rig) == [("UNJUDGED",)] * 3
    row = UnjudgedBatch.objects.get()
    assert row.judged_at is None
    assert "are gone" in row.failure
    incidents.keep()
    lifecycle.settle(after_s=0)
    assert Incident.objects.get(cause="UNJUDGED").state == "OPEN"


def test_a_table_that_holds_other_ticks_than_the_bytes_is_left_alone() -> None:
    process_slowly(is_clean=True)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tick SET bid = 1.15 WHERE time_msc = %s", [NOON_MSC + 1])

    assert make_up() == 0

    assert UnjudgedBatch.objects.get().failure == (
        f"batch {Batch.objects.get().pk}: 1 of its stored ticks are not in its bytes, the first is "
        f"{NOON_MSC + 1}/0 of feed {Batch.objects.get().parts[0]['feed']}"
    )


def test_a_correction_of_the_clock_under_way_is_waited_for() -> None:
    process_slowly(is_clean=True)
    ClockCorrection.objects.create(
        source=Source.objects.get(),
        old_clock="UTC",
        clock="+01:00",
        days=[],
        figures={},
        actor="somebody",
        epochs_before=[],
        epochs_after=[],
        made=[],
    )

    assert make_up() == 0

    row = UnjudgedBatch.objects.get()
    assert (row.judged_at, row.failure, row.attempts) == (None, "", 0)


def requality(*options: str) -> dict[str, object]:
    out = StringIO()
    call_command("requality", *options, "--json", stdout=out, stderr=StringIO())
    (report,) = json.loads(out.getvalue().splitlines()[-1])["sources"]
    return report


def set_threshold(name: str, value: int) -> None:
    threshold = Threshold(name=name, value=value, effect="SET", reason="a test")
    with transaction.atomic(durable=True):
        thresholds.append(threshold=threshold, actor="operator")
    judging.forget()


def test_requality_under_the_same_rules_finds_nothing_to_change() -> None:
    rig = make_rig("EURUSD")
    pipeline.process(batch_id=capture(rig, DIRTY))
    before = stored(rig).quality.tolist()

    found = requality("--apply")

    assert (found["batches"], found["ticks"], found["quarantined"], found["changed"]) == (1, 3, 2, 0)
    assert (found["gained"], found["lost"], found["would_be_held"], found["failed"]) == ({}, {}, {}, [])
    assert stored(rig).quality.tolist() == before


def test_requality_tells_what_a_threshold_changes_and_changes_it_only_when_asked() -> None:
    rig = make_rig("EURUSD")
    # Prices on the grid of five digits; on that of ten points the second and third are not.
    ticks = make_ticks([(0, 1.1, 1.2), (1, 1.10001, 1.2), (2, 1.1, 1.20005), (3, 1.1002, 1.2001)])
    pipeline.process(batch_id=capture(rig, ticks))
    set_threshold("GRID_POINTS", 10)

    looked = requality()
    assert in_table(rig) == [()] * 4
    applied = requality("--apply")

    key = {"feed": rig.feeds["EURUSD"].pk, "time_msc": NOON_MSC + 1, "seq": 0}
    for found in (looked, applied):
        assert found["changed"] == 2
        assert found["gained"] == {"OFF_GRID": {"ticks": 2, "first": key}}
        assert found["lost"] == {}
    assert (looked["applied"], applied["applied"]) == (False, True)
    assert in_table(rig) == [(), ("OFF_GRID",), ("OFF_GRID",), ()]
    assert flagged() == [2]
    assert causes()["OFF_GRID"] == 2
    (said,) = outcome()
    assert said["judged"][1] == applied["thresholds_version"] != 0
    assert list(
        Entry.objects.filter(action__startswith="REQUALITY").order_by("pk").values_list("action", flat=True)
    ) == [
        "REQUALITY_BEGUN",
        "REQUALITY_DONE",
    ]
    set_threshold("GRID_POINTS", 1)
    assert requality("--apply")["lost"] == {"OFF_GRID": {"ticks": 2, "first": key}}
    assert in_table(rig) == [()] * 4
    assert_ledger_is_clean()


def test_requality_counts_what_would_change_its_station_and_leaves_it_there() -> None:
    rig = make_rig("EURUSD")
    pipeline.process(batch_id=capture(rig, DIRTY))
    instrument = rig.feeds["EURUSD"].instrument
    instrument.negative_prices = True
    instrument.save()
    judging.forget()

    found = requality("--apply")

    key = {"feed": rig.feeds["EURUSD"].pk, "time_msc": NOON_MSC + 4, "seq": 0}
    assert found["would_be_stored"] == {"ticks": 1, "first": key}
    assert in_quarantine() == HELD
    # Released, and then against the rules again: it is a person's decision.
    (row,) = QuarantinedTick.objects.filter(position=4)
    decisions.release(row_ids=[row.pk], reason="oil", actor="night shift")
    assert requality()["would_be_held"] == {}
