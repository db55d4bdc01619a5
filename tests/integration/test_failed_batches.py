"""Batches that fail whole, with their bytes, where our own code or their bytes fail."""

import pytest
from django.db import connection

from ingest import inbox
from ingest.models import Batch
from quality.checks import prices
from quality.models import Finding, QuarantinedTick
from tests.builders import make_ticks
from tests.capturing import make_rig
from tests.piping import GOOD, NAN, assert_ledger_is_clean, capture, quotes, stored
from tickhub import pipeline

pytestmark = pytest.mark.usefixtures("database")


def test_a_check_that_raises_fails_its_batch_whole_and_a_release_stores_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make_rig("EURUSD")
    shown = make_ticks([(0, NAN, 1.2), *GOOD[1:], (9, 1.1, 1.4)])
    first = capture(rig, shown[:3])
    with monkeypatch.context() as patched:
        patched.setattr(prices, "crossed", lambda _: 1 // 0)
        pipeline.process(batch_id=first)
    second = capture(rig, shown)

    pipeline.process(batch_id=second)

    failed = Batch.objects.get(pk=first)
    expected = f"batch {first}: check CROSSED raised ZeroDivisionError: integer division or modulo by zero"
    assert (failed.status, failed.failure) == ("FAILED", expected)
    assert quotes(stored(rig)) == [(9, 1.1, 1.4)]
    assert QuarantinedTick.objects.count() == 0
    assert Finding.objects.get(cause="BATCH_FAILED").evidence == {"error": expected, "kind": "CheckFailed"}
    assert inbox.release_failed(batch_ids=None) == [first]
    assert pipeline.process(batch_id=first) == first
    assert quotes(stored(rig)) == [*GOOD[1:], (9, 1.1, 1.4)]
    assert [bytes(row.record) for row in QuarantinedTick.objects.all()] == [shown[:1].tobytes()]
    assert_ledger_is_clean()


def test_bytes_that_are_not_those_captured_fail_their_batch_and_both_digests_are_named() -> None:
    rig = make_rig("EURUSD")
    batch_id = capture(rig, make_ticks(GOOD))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE batch_payload SET ticks = set_byte(ticks, 8, get_byte(ticks, 8) # 1)")

    pipeline.process(batch_id=batch_id)

    batch = Batch.objects.get()
    expected = next(iter(batch.parts[0]["hours"].values()))
    assert batch.status == "FAILED"
    assert f"expected {expected}, was [3, " in batch.failure
    assert len(stored(rig).ticks) == 0


def test_bytes_of_another_length_than_declared_fail_their_batch() -> None:
    rig = make_rig("EURUSD")
    batch_id = capture(rig, make_ticks(GOOD))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE batch_payload SET ticks = substr(ticks, 1, 60)")

    pipeline.process(batch_id=batch_id)

    assert Batch.objects.get().failure == f"batch {batch_id}: its parts declare 3 ticks, its bytes hold other"


def test_bytes_that_are_gone_fail_their_batch() -> None:
    rig = make_rig("EURUSD")
    batch_id = capture(rig, make_ticks(GOOD))
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE batch_payload")

    pipeline.process(batch_id=batch_id)

    assert Batch.objects.get().status == "FAILED"
    assert "are gone" in Batch.objects.get().failure
