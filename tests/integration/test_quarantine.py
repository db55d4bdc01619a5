"""Quarantined ticks released, rejected and reopened: nothing lost, nothing twice, everything recorded."""

from pathlib import Path

import numpy as np
import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from quality.models import Finding, QuarantinedTick
from storage import latest
from storage.models import Partition
from storage.tick_writer import copy
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.piping import GOOD, NAN, assert_ledger_is_clean, capture, causes, quotes, stored
from tests.rows import one_row
from tickhub import pipeline, reconcile
from tickhub.audit.models import Entry
from tickhub.core import digest, flags
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import DAY_MS
from tickhub.core.errors import UsageError
from tickhub.core.flags import Flag
from tickhub.quarantine import decisions
from tickhub.reconcile import Scope
from tickhub.reference.models import ClockCorrection, Source

pytestmark = pytest.mark.usefixtures("database")


def hold(*rows: tuple[int, float, float], offset_ms: int = 0) -> Rig:
    """Capture and process ticks; those that cannot be are in quarantine afterwards."""
    rig = make_rig("EURUSD", offset_ms=offset_ms)
    pipeline.process(batch_id=capture(rig, make_ticks(rows, start_msc=NOON_MSC + offset_ms)))
    return rig


def held_ids() -> list[int]:
    return list(QuarantinedTick.objects.order_by("id").values_list("pk", flat=True))


def release(*row_ids: int, reason: str = "oil was below zero") -> list[str]:
    """Release all held ticks, or some; return what was refused."""
    return decisions.release(row_ids=list(row_ids) or held_ids(), reason=reason, actor="night shift").refused


def test_a_released_tick_keeps_its_key_and_batch_and_says_why_it_was_held() -> None:
    rig = hold((0, 1.1, 1.2), (5, 1.1, 1.2), (5, -1.1, 1.2), (9, 1.1, 1.3))

    assert release() == []

    found = stored(rig)
    assert quotes(found) == [(0, 1.1, 1.2), (5, 1.1, 1.2), (5, -1.1, 1.2), (9, 1.1, 1.3)]
    assert found.seq.tolist() == [0, 0, 1, 0]
    assert found.batch_id.tolist() == [rig.published[0]] * 4
    assert [flags.names(quality) for quality in found.quality.tolist()] == [(), (), ("NEGATIVE", "RELEASED"), ()]


def test_a_release_is_recorded_in_the_quarantine_and_in_the_audit_ledger() -> None:
    rig = hold((0, 1.1, 1.2), (5, -1.1, 1.2))
    (row_id,) = held_ids()

    release(reason="  seen at the exchange ")

    row = QuarantinedTick.objects.get()
    assert (row.state, row.decided_by, row.decision, row.stored_seq) == (
        "RELEASED",
        "night shift",
        "seen at the exchange",
        0,
    )
    assert row.decided_at is not None
    entry = Entry.objects.get(action="TICKS_RELEASED")
    assert (entry.actor, entry.object) == ("night shift", f"batch {rig.published[0]} of source hand")
    assert entry.details == {
        "reason": "seen at the exchange",
        "ticks": [
            {
                "id": row_id,
                "feed": rig.feeds["EURUSD"].pk,
                "time_msc": NOON_MSC + 5,
                "seq": 0,
                "flags": ["NEGATIVE"],
                "stored_seq": 0,
            }
        ],
    }


def test_the_proof_holds_before_and_after_a_release_of_some(tmp_path: Path) -> None:
    shown = make_ticks(
        [(0, 1.1, 1.2), (5, -1.1, 1.2), (3_600_000, NAN, 1.2), (3_600_001, -1.1, 1.3), (7_200_000, 1, 2)]
    )
    np.savez(tmp_path / "EURUSD.npz", ticks=shown)
    running.capture(f"replay:{tmp_path / 'EURUSD.npz'}?symbol=EURUSD&speed=max")
    running.drain()

    for released in (0, 1, 2):
        report = reconcile.reconcile(Scope(is_deep=True))
        assert (report.lost, report.stored_twice, report.differences) == (0, 0, [])
        assert (report.captured, report.stored, report.quarantined) == (5, 2 + released, 3 - released)
        assert release(held_ids()[released]) == []
    assert reconcile.reconcile(Scope(is_deep=True)).is_clean
    assert QuarantinedTick.objects.filter(state="RELEASED").count() == 3


def test_a_price_that_is_no_number_is_given_back_bit_for_bit() -> None:
    shown = make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.2)]).copy()
    shown["bid"][1:].view(np.uint64)[:] = 0xFFF8_0000_0000_1234
    rig = make_rig("EURUSD")
    pipeline.process(batch_id=capture(rig, tick_arrays.freeze(shown)))

    assert release() == []

    assert digest.of(stored(rig).ticks) == digest.of(shown)


def test_a_tick_of_another_clock_is_stored_under_its_utc_time() -> None:
    rig = hold((0, 1.1, 1.2), (5, -1.1, 1.2), offset_ms=3 * 3_600_000)

    assert release() == []

    assert quotes(stored(rig)) == [(0, 1.1, 1.2), (5, -1.1, 1.2)]
    assert_ledger_is_clean()


def test_the_newest_tick_of_a_feed_follows_a_release_and_an_older_one_does_not_replace_it() -> None:
    rig = hold((0, -1.1, 1.2), (5, 1.1, 1.2), (9, -1.1, 1.3))
    feed_id = rig.feeds["EURUSD"].pk
    older, newest = held_ids()

    release(older)
    assert latest.read([feed_id])[feed_id].time_msc == NOON_MSC + 5
    release(newest)
    assert latest.read([feed_id])[feed_id].time_msc == NOON_MSC + 9


def test_what_the_table_cannot_hold_is_refused_and_the_others_of_its_batch_are_released() -> None:
    shown = make_ticks([(0, 1.1, 1.2), (5, -1.1, 1.2), (6, 1.1, 1.2)]).copy()
    shown["volume"][2] = 1 << 63
    rig = make_rig("EURUSD")
    pipeline.process(batch_id=capture(rig, tick_arrays.freeze(shown)))

    (line,) = release()

    assert line == (
        f"tick {NOON_MSC + 6}/0 of feed {rig.feeds['EURUSD'].pk}: "
        "UNSTORABLE: the tick table cannot hold it and give it back bit for bit"
    )
    assert list(QuarantinedTick.objects.order_by("id").values_list("state", flat=True)) == ["RELEASED", "HELD"]
    assert_ledger_is_clean()


def test_a_tick_without_a_utc_time_is_refused() -> None:
    hold((0, 1.1, 1.2), (5, -1.1, 1.2))
    QuarantinedTick.objects.update(quality=int(Flag.NO_SUCH_TIME))

    (line,) = release()

    assert "NO_SUCH_TIME: it has no UTC time" in line


def test_an_implausible_day_is_released_once_the_operator_makes_it_plausible(settings: Settings) -> None:
    settings.EARLIEST_MSC = (NOON_MSC // DAY_MS + 1) * DAY_MS
    rig = hold((0, 1.1, 1.2), (DAY_MS, 1.1, 1.2))

    (line,) = release()
    assert line.endswith(
        "its time 2026-03-02T12:00:00.000Z has no partition, and none is made for days before 2026-03-03 "
        "(TICKHUB_EARLIEST_DAY) or after tomorrow"
    )
    settings.EARLIEST_MSC -= DAY_MS

    assert release() == []
    assert quotes(stored(rig)) == [(0, 1.1, 1.2), (DAY_MS, 1.1, 1.2)]
    assert Partition.objects.count() == 2
    assert_ledger_is_clean()


def test_a_key_that_was_taken_gives_the_next_free_seq_and_a_finding() -> None:
    rig = hold((0, 1.1, 1.2), (5, 1.1, 1.2), (5, -1.1, 1.2))
    feed_id = rig.feeds["EURUSD"].pk
    row = QuarantinedTick.objects.get()
    # Another batch's row stands where this one was to stand.
    copy(one_row(feed_id, make_ticks([(5, 1.5, 1.6)]), seq=1, batch_id=row.batch_id + 1))

    assert release() == []

    found = stored(rig)
    assert list(zip(found.seq.tolist(), found.ticks["bid"].tolist(), strict=True)) == [
        (0, 1.1),
        (0, 1.1),
        (1, 1.5),
        (2, -1.1),
    ]
    assert flags.names(int(found.quality[-1])) == ("NEGATIVE", "COLLISION", "RELEASED")
    assert QuarantinedTick.objects.get().stored_seq == 2
    finding = Finding.objects.get(cause="COLLISION")
    assert (finding.evidence["first"], finding.evidence["new_seq"]) == ({"time_msc": NOON_MSC + 5, "seq": 1}, 2)


def test_a_batch_whose_rows_are_not_those_captured_is_refused_as_a_whole() -> None:
    rig = hold((0, 1.1, 1.2), (5, -1.1, 1.2))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tick")

    (line,) = release()

    assert line == (
        f"batch {rig.published[0]}, none of 1 ticks: batch {rig.published[0]}: of feed {rig.feeds['EURUSD'].pk} it "
        "captured 2 ticks in the hour of 2026-03-02T12:00:00.000Z, the tables give back 1, or others; "
        "run `manage.py reconcile --deep`"
    )
    assert quotes(stored(rig)) == []
    assert QuarantinedTick.objects.get().state == "HELD"
    assert Entry.objects.filter(action="TICKS_RELEASED").count() == 0


def test_a_rejected_tick_stays_and_is_released_only_after_it_was_reopened() -> None:
    rig = hold((0, 1.1, 1.2), (5, -1.1, 1.2))
    ids = held_ids()

    assert decisions.reject(row_ids=ids, reason="a typing error", actor="day shift").refused == []
    assert QuarantinedTick.objects.values_list("state", "decided_by", "decision").get() == (
        "REJECTED",
        "day shift",
        "a typing error",
    )
    assert release() == [f"tick {NOON_MSC + 5}/0 of feed {rig.feeds['EURUSD'].pk}: it was rejected; reopen it first"]
    assert_ledger_is_clean()

    assert decisions.reopen(row_ids=ids, reason="it was none", actor="day shift").refused == []
    assert release() == []
    assert list(Entry.objects.exclude(action="EPOCHS_WRITTEN").order_by("id").values_list("action", flat=True))[
        -3:
    ] == [
        "TICKS_REJECTED",
        "TICKS_REOPENED",
        "TICKS_RELEASED",
    ]


def test_only_rejected_ticks_are_reopened() -> None:
    rig = hold((0, 1.1, 1.2), (5, -1.1, 1.2))

    decided = decisions.reopen(row_ids=held_ids(), reason="to see", actor="day shift")

    assert (decided.done, decided.refused) == (
        0,
        [f"tick {NOON_MSC + 5}/0 of feed {rig.feeds['EURUSD'].pk}: it is HELD, not REJECTED"],
    )


def test_a_second_release_finds_nothing_to_do() -> None:
    rig = hold((0, 1.1, 1.2), (5, -1.1, 1.2))
    release()

    (line,) = release()

    assert line.endswith("it is RELEASED already")
    assert quotes(stored(rig)) == [(0, 1.1, 1.2), (5, -1.1, 1.2)]
    assert Entry.objects.filter(action="TICKS_RELEASED").count() == 1


@pytest.mark.parametrize(
    ("reason", "count", "says"),
    [
        (" ", 1, "a reason is required"),
        ("x" * 501, 1, "the reason has 501 characters, at most 500 are kept"),
        ("many", 1001, "1001 ticks are chosen, at most 1000 are decided on at once"),
    ],
)
def test_a_decision_that_cannot_be_recorded_is_refused(reason: str, count: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        decisions.release(row_ids=list(range(count)), reason=reason, actor="night shift")


def test_a_tick_that_is_not_known_is_named() -> None:
    assert release(4711) == ["quarantined tick 4711: not known"]


def test_nothing_is_decided_while_a_clock_is_corrected() -> None:
    hold((0, 1.1, 1.2), (5, -1.1, 1.2))
    ClockCorrection.objects.create(source=Source.objects.get(), epochs_before=[], epochs_after=[], made=[], days=[])

    (released,) = release()
    (rejected,) = decisions.reject(row_ids=held_ids(), reason="no", actor="night shift").refused

    assert "a correction of its clock is not finished" in released
    assert "a correction of its clock is not finished" in rejected
    assert QuarantinedTick.objects.get().state == "HELD"


def test_good_ticks_are_not_concerned() -> None:
    rig = hold(*GOOD, (7, -1.1, 1.2))

    release()

    assert causes() == {"NEGATIVE": 1}
    assert stored(rig).quality.tolist()[:3] == [0, int(Flag.REPEAT), 0]
