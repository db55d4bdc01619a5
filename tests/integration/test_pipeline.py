"""Batches on the real database: judged, held, and stored once."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from django.db import IntegrityError, connection
from pytest_django.fixtures import Settings

from ingest.models import Batch
from quality import incidents, lifecycle
from quality.models import Finding, Incident, QuarantinedTick
from storage import partitions
from storage.models import Partition
from tests.builders import NOON_MSC, make_ticks, make_trades
from tests.capturing import make_rig
from tests.piping import GOOD, NAN, Quotes, assert_ledger_is_clean, capture, causes, quotes, stored
from tickhub import pipeline
from tickhub.core import clock, flags
from tickhub.core import ticks as tick_arrays
from tickhub.core.errors import TransientError

pytestmark = pytest.mark.usefixtures("database")

INF = float("inf")


@contextmanager
def refused_by_a_check(condition: str) -> Iterator[None]:
    """Let the tick table refuse rows."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE tick ADD CONSTRAINT for_a_test CHECK ({condition})")
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE tick DROP CONSTRAINT for_a_test")


def test_ticks_that_cannot_be_are_held_with_bytes_and_reasons_and_the_others_are_stored() -> None:
    rig = make_rig("EURUSD")
    shown = make_ticks([(0, 1.1, 1.2), (1, NAN, 1.2), (2, -1.1, 1.2), (3, 1.1, INF), (4, 1.1, 1.3)])

    pipeline.process(batch_id=capture(rig, shown))

    assert quotes(stored(rig)) == [(0, 1.1, 1.2), (4, 1.1, 1.3)]
    held = QuarantinedTick.objects.order_by("position")
    assert [(row.position, flags.names(row.quality)) for row in held] == [
        (1, ("NOT_FINITE",)),
        (2, ("NEGATIVE",)),
        (3, ("NOT_FINITE",)),
    ]
    assert b"".join(bytes(row.record) for row in held) == shown[1:4].tobytes()
    assert causes() == {"NOT_FINITE": 2, "NEGATIVE": 1}
    assert_ledger_is_clean()


def test_a_held_tick_keeps_the_bytes_of_the_terminals_own_clock() -> None:
    hours_ms = 3 * 3_600_000
    rig = make_rig("EURUSD", offset_ms=hours_ms)
    shown = make_ticks([(0, NAN, 1.2)], start_msc=NOON_MSC + hours_ms)

    pipeline.process(batch_id=capture(rig, shown))

    row = QuarantinedTick.objects.get()
    assert (bytes(row.record), row.time_msc, row.offset_ms) == (shown.tobytes(), NOON_MSC, hours_ms)


def test_a_message_delivered_twice_finds_nothing_to_do() -> None:
    rig = make_rig("EURUSD")
    batch_id = capture(rig, make_ticks(GOOD))
    assert pipeline.process(batch_id=batch_id) == batch_id

    assert pipeline.process(batch_id=batch_id) is None

    assert quotes(stored(rig)) == GOOD
    assert Batch.objects.get().status == "STORED"


def put_back(batch_id: int) -> None:
    """Let a stored batch wait again although its ticks are in the table, as no code of ours does."""
    Batch.objects.filter(pk=batch_id).update(status="WAITING", stored_at=None, outcome=None)


def test_rows_whose_keys_and_values_are_stored_already_are_duplicates() -> None:
    rig = make_rig("EURUSD")
    batch_id = capture(rig, make_ticks(GOOD))
    pipeline.process(batch_id=batch_id)
    put_back(batch_id)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tick WHERE time_msc > %s", [NOON_MSC])

    pipeline.process(batch_id=batch_id)

    assert quotes(stored(rig)) == GOOD
    (part,) = Batch.objects.get().outcome or []
    assert [sum(hour[0] for hour in part[name].values()) for name in ("stored", "duplicates", "held")] == [1, 2, 0]
    assert causes() == {}


def test_a_key_that_holds_other_values_is_a_collision_told_with_both_rows_and_stored_under_the_next_free_seq() -> None:
    rig = make_rig("EURUSD")
    batch_id = capture(rig, make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.3)]))
    pipeline.process(batch_id=batch_id)
    put_back(batch_id)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tick SET bid = 7.7 WHERE time_msc = %s", [NOON_MSC])

    pipeline.process(batch_id=batch_id)

    found = stored(rig)
    assert quotes(found) == [(0, 7.7, 1.2), (0, 1.1, 1.2), (5, 1.1, 1.3)]
    assert found.seq.tolist() == [0, 1, 0]
    assert [flags.names(int(quality)) for quality in found.quality] == [(), ("COLLISION",), ()]
    finding = Finding.objects.get(cause="COLLISION")
    assert finding.evidence == {
        "first": {"time_msc": NOON_MSC, "seq": 0},
        "new_seq": 1,
        "stored": make_ticks([(0, 7.7, 1.2)]).tobytes().hex(),
        "new": make_ticks([(0, 1.1, 1.2)]).tobytes().hex(),
    }


def test_a_collision_does_not_take_the_seq_of_another_row_of_its_batch() -> None:
    rig = make_rig("EURUSD")
    batch_id = capture(rig, make_ticks([(0, 1.1, 1.2), (0, 1.1, 1.3)]))
    pipeline.process(batch_id=batch_id)
    put_back(batch_id)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tick WHERE seq = 1")
        cursor.execute("UPDATE tick SET bid = 7.7")

    pipeline.process(batch_id=batch_id)

    found = stored(rig)
    assert (Batch.objects.get().status, Batch.objects.get().failure) == ("STORED", "")
    assert quotes(found) == [(0, 7.7, 1.2), (0, 1.1, 1.3), (0, 1.1, 1.2)]
    assert found.seq.tolist() == [0, 1, 2]


def test_a_collision_in_a_millisecond_that_has_no_seq_left_is_held() -> None:
    rig = make_rig("EURUSD")
    shown: Quotes = [(0, 1.1, 1.2), (0, 1.1, 1.3), (5, 1.1, 1.2)]
    batch_id = capture(rig, make_ticks(shown))
    pipeline.process(batch_id=batch_id)
    put_back(batch_id)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tick SET bid = 7.7, seq = 32767 WHERE time_msc = %s AND seq = 1", [NOON_MSC])
        cursor.execute("UPDATE tick SET bid = 7.6 WHERE time_msc = %s AND seq = 0", [NOON_MSC])

    pipeline.process(batch_id=batch_id)

    found = stored(rig)
    assert quotes(found) == [(0, 7.6, 1.2), (0, 1.1, 1.3), (0, 7.7, 1.3), (5, 1.1, 1.2)]
    assert found.seq.tolist() == [0, 1, 32767, 0]
    held = QuarantinedTick.objects.get()
    assert (bytes(held.record), flags.names(held.quality)) == (make_ticks(shown[:1]).tobytes(), ("UNSTORABLE",))


def test_the_table_refuses_a_seq_below_zero() -> None:
    rig = make_rig("EURUSD")
    pipeline.process(batch_id=capture(rig, make_ticks(GOOD)))

    with connection.cursor() as cursor, pytest.raises(IntegrityError, match="tick_seq_not_negative"):
        cursor.execute("UPDATE tick SET seq = -1 WHERE seq = 1")


@pytest.mark.parametrize("days", [-100 * 365, 3, 100 * 365])
def test_a_day_that_is_not_plausible_makes_no_partition_and_its_tick_is_held(days: int) -> None:
    rig = make_rig("EURUSD")
    rig.poller.states[0].begins_msc = -(1 << 45)
    rig.poller.states[0].tail.complete_from_msc = -(1 << 45)
    far = make_ticks([(days * 86_400_000, 1.1, 1.2)])
    rig.terminal.history["EURUSD"] = tick_arrays.freeze(np.concatenate([far, make_ticks(GOOD)]))
    rig.source.now_msc = NOON_MSC + 10
    rig.poller.poll()

    pipeline.process(batch_id=rig.published[0])

    assert [row.table_name for row in Partition.objects.all()] == ["tick_20260302"]
    assert quotes(stored(rig)) == GOOD
    row = QuarantinedTick.objects.get()
    assert bytes(row.record) == far.tobytes()
    assert "IMPLAUSIBLE_DAY" in flags.names(row.quality)


def test_of_more_new_days_than_one_batch_may_make_the_emptiest_are_held(settings: Settings) -> None:
    settings.NEW_DAYS_MOST = 2
    rig = make_rig("EURUSD")
    known: Quotes = [(0, 1.1, 1.2)]
    pipeline.process(batch_id=capture(rig, make_ticks(known)))
    # As in another process, which does not know that the first day has its partition.
    partitions.forget()
    day = clock.DAY_MS
    kept: Quotes = [(1, 1.1, 1.2), (2 * day, 1.1, 1.2), (2 * day, 1.1, 1.3), (3 * day, 1.1, 1.2), (3 * day, 1.1, 1.3)]
    alone: Quotes = [(day, 1.1, 1.2)]

    pipeline.process(batch_id=capture(rig, make_ticks(sorted(known + kept + alone))))

    assert quotes(stored(rig)) == known + kept
    assert [tick.time_msc - NOON_MSC for tick in QuarantinedTick.objects.order_by("pk")] == [day]
    assert flags.names(QuarantinedTick.objects.get().quality) == ("IMPLAUSIBLE_DAY",)
    assert Partition.objects.count() == 3
    assert causes() == {"IMPLAUSIBLE_DAY": 1}


def test_a_terminal_whose_clock_is_years_ahead_of_the_host_stores_its_ticks() -> None:
    rig = make_rig("EURUSD")
    ahead = make_ticks(GOOD, start_msc=NOON_MSC + 4000 * 86_400_000)

    pipeline.process(batch_id=capture(rig, ahead))

    assert tick_arrays.same(stored(rig).ticks, ahead)


def test_rows_that_the_table_refuses_are_held_alone() -> None:
    rig = make_rig("EURUSD")
    shown = make_ticks([(n, 1.1, 1.2 + n / 100_000) for n in range(100)])
    batch_id = capture(rig, shown)

    with refused_by_a_check(f"time_msc NOT IN ({NOON_MSC + 17}, {NOON_MSC + 80})"):
        pipeline.process(batch_id=batch_id)

    held = QuarantinedTick.objects.order_by("time_msc")
    assert (Batch.objects.get().status, len(stored(rig).ticks)) == ("STORED", 98)
    assert [(row.time_msc - NOON_MSC, flags.names(row.quality)) for row in held] == [
        (17, ("UNSTORABLE",)),
        (80, ("UNSTORABLE",)),
    ]
    assert_ledger_is_clean()


def test_a_batch_of_which_over_32_rows_are_refused_fails_whole() -> None:
    rig = make_rig("EURUSD")
    batch_id = capture(rig, make_ticks([(n, 1.1, 1.2) for n in range(40)]))

    with refused_by_a_check("bid <> 1.1"):
        pipeline.process(batch_id=batch_id)

    assert (Batch.objects.get().status, len(stored(rig).ticks)) == ("FAILED", 0)
    assert QuarantinedTick.objects.count() == 0
    assert "over 32 rows refused" in Batch.objects.get().failure


def test_a_partition_that_was_dropped_is_made_again() -> None:
    rig = make_rig("EURUSD")
    pipeline.process(batch_id=capture(rig, make_ticks(GOOD)))
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE tick_20260302")
        cursor.execute("DELETE FROM storage_partition")
    batch_id = capture(rig, make_ticks([*GOOD, (9, 1.1, 1.4)]))

    with pytest.raises(TransientError):
        pipeline.process(batch_id=batch_id)
    pipeline.process(batch_id=batch_id)

    assert quotes(stored(rig)) == [(9, 1.1, 1.4)]


def test_the_same_cause_in_many_batches_is_one_incident_until_it_is_resolved() -> None:
    rig = make_rig("EURUSD")
    rows: Quotes = []
    for n in range(5):
        rows.append((n, 1.3, 1.2))
        pipeline.process(batch_id=capture(rig, make_ticks(rows)))
        if n % 2:
            incidents.keep()
    incidents.keep()

    incident = Incident.objects.get()
    assert (incident.cause, incident.state, incident.count) == ("CROSSED", "OPEN", 5)
    assert incident.evidence["first"] == {"time_msc": NOON_MSC, "seq": 0}
    assert Finding.objects.filter(incident=incident).count() == 5
    assert incidents.keep() == 0
    lifecycle.resolve(incident_ids=[incident.pk], actor="operator")
    pipeline.process(batch_id=capture(rig, make_ticks([*rows, (9, 1.3, 1.2)])))
    incidents.keep()
    assert sorted(Incident.objects.values_list("state", "count")) == [("OPEN", 1), ("RESOLVED", 5)]


def test_zeros_of_either_sign_volumes_and_odd_flags_come_back_bit_for_bit() -> None:
    rig = make_rig("EURUSD")
    shown = np.concatenate([make_ticks([(0, 0.0, -0.0), (1, -0.0, 1.2), (2, 5e-324, 1.2)]), make_trades([(3, 0.0, 0)])])
    shown["volume"][:2] = [0, (1 << 63) - 1]
    shown["volume_real"][:2] = [-0.0, 1e-300]
    shown["flags"][:3] = [0, 0x7FFF_FFFF, 1030]

    pipeline.process(batch_id=capture(rig, tick_arrays.freeze(shown)))

    assert tick_arrays.same(stored(rig).ticks, shown)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT bid IS NULL, ask IS NULL, volume IS NULL, volume_real IS NULL FROM tick ORDER BY time_msc"
        )
        assert cursor.fetchall()[:2] == [(True, False, True, False), (False, False, False, False)]


def test_values_that_no_column_holds_are_held() -> None:
    rig = make_rig("EURUSD")
    shown = make_ticks([(n, 1.1, 1.2) for n in range(4)]).copy()
    shown["flags"][1] = 1 << 31
    shown["volume"][2] = 1 << 63
    shown["time"][3] += 1

    pipeline.process(batch_id=capture(rig, tick_arrays.freeze(shown)))

    assert len(stored(rig).ticks) == 1
    rows = QuarantinedTick.objects.order_by("position")
    assert [flags.names(row.quality) for row in rows] == [("UNSTORABLE",)] * 3
    assert b"".join(bytes(row.record) for row in rows) == shown[1:].tobytes()
