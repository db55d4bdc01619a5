"""Whatever changes what a certified hour holds gives it a further revision, and nothing is passed over."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.db import connection, transaction
from pytest_django import Settings

from ingest import backfill, inbox
from ingest.backfill import Backfiller
from ingest.models import Batch
from quality import certificates, thresholds
from quality.models import Certificate, Certification, DueHours, QuarantinedTick, Threshold
from storage.models import Partition
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.integration.test_certificates import appears_late, bodies, captured, issue, prove
from tests.piping import capture
from tickhub import judging, pipeline
from tickhub.certificates import keys
from tickhub.core.clock import HOUR_MS
from tickhub.quarantine import decisions
from tickhub.reference.models import Source
from tickhub.rejudging import requality
from tickhub.rejudging.requality import Scope

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def key(settings: Settings) -> None:
    settings.CERTIFICATE_KEY = keys.generate()


def newest() -> dict[int, dict[str, Any]]:  # Any: JSON
    """The newest certificate of each hour after noon."""
    return {(body["from_msc"] - NOON_MSC) // HOUR_MS: body for body in bodies()}


def shows_late(rig: Rig, at_ms: int) -> None:
    """One more tick so long after noon, captured by a backfill, and not stored yet."""
    shown = np.concatenate([rig.terminal.history["EURUSD"], make_ticks([(at_ms, 1.05, 1.2)])])
    rig.terminal.history["EURUSD"] = np.sort(shown, order="time_msc")
    at_msc = NOON_MSC + at_ms
    backfill.request(feed_id=rig.feeds["EURUSD"].pk, from_msc=at_msc, to_msc=at_msc + 1, reason="a test")
    rig.source.now_msc += 1000
    rig.poller.poll()
    Backfiller(rig.poller).run()
    assert Batch.objects.filter(status="WAITING").count() == 1


def test_a_late_batch_that_waits_while_another_hour_is_certified_is_not_passed_over() -> None:
    rig = captured(0, HOUR_MS + 1, 2 * HOUR_MS + 1, 3 * HOUR_MS, 8 * HOUR_MS)
    prove(rig, 2 * HOUR_MS)
    issue()
    prove(rig, 8 * HOUR_MS)
    shows_late(rig, 2 * HOUR_MS + 5)
    # Hours before the waiting tick's, of which the past is proven by now: they are certified while it waits.
    issue()

    running.drain()
    issue()

    assert newest()[2]["stations"]["table"][0] == newest()[2]["stations"]["captured"][0] == 2
    assert newest()[2]["is_whole"]


def test_a_batch_that_was_failed_when_its_hour_was_certified_is_found_however_long_ago(settings: Settings) -> None:
    rig = make_rig("EURUSD")
    first = capture(rig, make_ticks([(0, 1.1, 1.2)]))
    capture(rig, make_ticks([(0, 1.1, 1.2), (HOUR_MS, 1.1, 1.2), (40 * 24 * HOUR_MS, 1.1, 1.2)]))
    Batch.objects.filter(pk=first).update(status="FAILED", failure="a test")
    running.drain()
    prove(rig, 40 * 24 * HOUR_MS)
    while issue():
        pass
    assert newest()[0]["reasons"][0] == "1 ticks are in failed batches"

    with connection.cursor() as cursor:
        cursor.execute("UPDATE ingest_batch SET captured_at = captured_at - interval '1 hour' WHERE id = %s", [first])
    inbox.release_failed(batch_ids=None)
    running.drain()
    while issue():
        pass

    assert newest()[0]["is_whole"]


def test_a_release_from_quarantine_gives_its_hour_a_further_revision() -> None:
    rig = make_rig("EURUSD")
    pipeline.process(batch_id=capture(rig, make_ticks([(0, -1.1, 1.2), (HOUR_MS, 1.1, 1.2)])))
    prove(rig, HOUR_MS)
    assert issue() == 1
    (row,) = QuarantinedTick.objects.all()

    decisions.release(row_ids=[row.pk], reason="oil", actor="night shift")

    assert (issue(), issue()) == (1, 0)
    body = newest()[0]
    assert (body["revision"], body["stations"]["table"][0], body["stations"]["quarantined"][0]) == (2, 1, 0)
    assert body["flags"] == {"NEGATIVE": 1, "RELEASED": 1}


def test_flags_changed_by_judging_again_give_their_hours_a_further_revision() -> None:
    rig = captured(0, HOUR_MS)
    prove(rig, HOUR_MS)
    assert issue() == 1
    threshold = Threshold(name="BAND_LOW_POINTS", value=115_000, effect="SET", reason="a test")
    with transaction.atomic(durable=True):
        thresholds.append(threshold=threshold, actor="operator")
    judging.forget()

    scope = Scope(Source.objects.get(), (rig.feeds["EURUSD"],), NOON_MSC, NOON_MSC + HOUR_MS)
    requality.apply(scope, actor="operator", progress=lambda _: None)

    assert (issue(), issue()) == (1, 0)
    assert (newest()[0]["revision"], newest()[0]["flags"]) == (2, {"OUTSIDE_BAND": 1})
    assert newest()[0]["judged_by"][0][1] == threshold.pk


def test_a_hole_in_the_ids_of_batches_is_waited_for_and_then_passed() -> None:
    rig = captured(0, HOUR_MS)
    prove(rig, HOUR_MS)
    issue()
    through = Certification.objects.get().through_batch_id
    with connection.cursor() as cursor:
        # A batch whose id was drawn, and which may yet be committed.
        cursor.execute("SELECT nextval(pg_get_serial_sequence('ingest_batch', 'id'))")
    shows_late(rig, 7)
    running.drain()

    assert issue() == 0
    assert Certification.objects.get().through_batch_id == through
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ingest_batch SET stored_at = stored_at - interval '16 minutes'")
    assert issue() == 1
    assert Certification.objects.get().through_batch_id > through
    assert not DueHours.objects.exists()


def test_a_feed_with_a_long_history_is_certified_in_steps_that_are_kept() -> None:
    rig = captured(*(hour * HOUR_MS for hour in range(70)))
    prove(rig, 69 * HOUR_MS)
    issue()
    assert Certificate.objects.count() == 69
    assert sorted(newest()) == list(range(69))
    assert all(body["is_whole"] for body in bodies())


def test_an_hour_whose_gaps_were_not_looked_for_is_not_whole_and_is_certified_again(settings: Settings) -> None:
    rig = captured(0, 30 * HOUR_MS)
    prove(rig, 30 * HOUR_MS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tickhub.examining.examine", lambda **_: 0)
        issue()
    assert newest()[0]["reasons"] == ["its gaps have not been looked for yet"]

    issue()

    assert newest()[0]["is_whole"]
    assert Partition.objects.exists()


def test_an_hour_noted_before_the_first_certificate_leaves_none_before_it_out() -> None:
    rig = captured(0, HOUR_MS, 2 * HOUR_MS)
    note_hours(rig, (1, 2))

    assert issue() == 0
    prove(rig, 2 * HOUR_MS)
    issue()

    assert [(body["number"], (body["from_msc"] - NOON_MSC) // HOUR_MS) for body in bodies()] == [(1, 0), (2, 1)]


def test_thousands_of_notes_of_one_hour_are_worked_off_at_once() -> None:
    rig = captured(0, HOUR_MS, 2 * HOUR_MS)
    prove(rig, 2 * HOUR_MS)
    issue()
    for _ in range(3):
        note_hours(rig, *((0, 1) for _ in range(700)), (0, 2))

    assert DueHours.objects.filter(work="CERTIFY").count() == 2_103
    assert issue() == 0

    assert not DueHours.objects.exists()


def test_the_certificates_of_a_period_come_with_those_made_between_them(tmp_path: Path) -> None:
    rig = captured(0, HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS)
    prove(rig, 3 * HOUR_MS)
    issue()
    appears_late(rig, 5)
    assert issue() == 1

    # The first hour alone: the first certificate, and the fourth, which replaces it.
    file = tmp_path / "first.jsonl"
    call_command("certify", "--from", str(NOON_MSC), "--to", str(NOON_MSC + HOUR_MS), "--out", str(file))

    numbers = [json.loads(line)["certificate"]["number"] for line in file.read_text().splitlines()]
    assert numbers == [1, 2, 3, 4]
    call_command("verify_certificate", str(file), "--require-whole")
    found = certificates.of_period(feed_id=rig.feeds["EURUSD"].pk, from_msc=NOON_MSC, to_msc=NOON_MSC + HOUR_MS)
    assert (found.own, found.not_whole, len(found.documents)) == (2, 0, 4)


def note_hours(rig: Rig, *runs: tuple[int, int]) -> None:
    """Note hours after noon as due to be certified again, a row for each run."""
    first = NOON_MSC // HOUR_MS
    feed = rig.feeds["EURUSD"]
    DueHours.objects.bulk_create(
        DueHours(work="CERTIFY", source=feed.source, feed=feed, from_hour=first + low, to_hour=first + high)
        for low, high in runs
    )
