"""Both switches of a broker's clock seven hours ahead of New York, on a symbol that trades all the time.

The expected UTC times are those that the recording was made from, not what the product makes of its wall clock.
"""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from django.db import connection
from pytest_django import Settings

from ingest.models import Batch
from quality.models import QuarantinedTick
from storage import reader
from tests import running
from tests.oracle import compare_export
from tickhub import capturing, exporting, reconcile
from tickhub.core import clock
from tickhub.core.flags import Flag
from tickhub.core.ticks import TICK_DTYPE, Int64s, Ticks
from tickhub.management.periods import EVER
from tickhub.polling import Ending
from tickhub.reconcile import Scope
from tickhub.reference import queries as reference
from tickhub.reference.models import Source, UnsurePass

pytestmark = pytest.mark.usefixtures("database")

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
AUTUMN_MSC = int(dt.datetime(2025, 11, 2, 6, tzinfo=dt.UTC).timestamp() * 1000)
SPRING_MSC = int(dt.datetime(2025, 3, 9, 7, tzinfo=dt.UTC).timestamp() * 1000)


def times(switch_msc: int, *, every_ms: int = 7_001, hours: float = 2) -> Int64s:
    """UTC times before and after a switch."""
    span = int(hours * HOUR_MS)
    return np.arange(switch_msc - span, switch_msc + span, every_ms, dtype=np.int64)


def ticks_at(utc_msc: Int64s, switch_msc: int, before_hours: int, after_hours: int) -> Ticks:
    """Ticks as the broker's clock shows them, each with a price of its own."""
    wall = utc_msc + np.where(utc_msc < switch_msc, before_hours, after_hours) * HOUR_MS
    ticks = np.zeros(len(utc_msc), dtype=TICK_DTYPE)
    ticks["time_msc"], ticks["time"], ticks["flags"] = wall, wall // 1000, 6
    ticks["bid"] = 60_000 + np.arange(len(utc_msc)) / 100
    ticks["ask"] = ticks["bid"] + 1
    return ticks


def record(folder: Path, ticks: Ticks) -> str:
    np.savez(folder / "BTCUSD.npz", ticks=ticks)
    return f"replay:{folder / 'BTCUSD.npz'}?symbol=BTCUSD&name=broker&clock=NY%2B7"


def capture_at(spec: str, utc_msc: int, first_msc: int) -> None:
    """Let a terminal that was started long ago show what it has by a UTC instant, poll it, and stop."""
    shift_ms = utc_msc - first_msc
    Source.objects.filter(name="broker").update(playback_origin_msc=clock.now_msc() - shift_ms)
    capturing.run(
        f"{spec}&speed=1",
        ending=Ending(for_s=0.0),
        origin_msc=clock.now_msc() - shift_ms,
        should_stop=lambda: False,
        publish=lambda _: None,
    )


def stored() -> Ticks:
    feed = reference.one_feed(symbol="BTCUSD", source=None)
    return reader.read(feed_id=feed.pk, from_msc=EVER[0], to_msc=EVER[1]).ticks


def flagged(flag: Flag) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT time_msc FROM tick WHERE quality & %s <> 0 ORDER BY time_msc", [int(flag)])
        return [row[0] for row in cursor.fetchall()]


def assert_complete(folder: Path, utc_msc: Int64s | None) -> None:
    """Nothing lost, nothing twice, by the oracle on 60-byte records; each price at the UTC time it was made from."""
    running.drain()
    out = folder / "export.npz"
    feed = reference.one_feed(symbol="BTCUSD", source=None)
    exporting.export(feed=feed, from_msc=EVER[0], to_msc=EVER[1], with_quarantined=True, out=out)
    assert compare_export.compare(compare_export.load(out), compare_export.load(folder / "BTCUSD.npz")) == (0, 0)
    report = reconcile.reconcile(Scope(is_deep=True))
    assert (report.lost, report.stored_twice, report.differences, report.unavailable) == (0, 0, [], [])
    if utc_msc is not None:
        found = stored()
        made_at = utc_msc[np.rint((found["bid"] - 60_000) * 100).astype(np.int64)]
        assert found["time_msc"].tolist() == made_at.tolist() == sorted(utc_msc.tolist())


@pytest.mark.parametrize("speed", ["max", "2400"])
@pytest.mark.parametrize(("switch_msc", "hours"), [(AUTUMN_MSC, (3, 2)), (SPRING_MSC, (2, 3))])
def test_a_recording_across_the_switch_is_stored_whole_and_in_utc(
    switch_msc: int, hours: tuple[int, int], speed: str, tmp_path: Path
) -> None:
    utc = times(switch_msc)
    spec = record(tmp_path, ticks_at(utc, switch_msc, *hours))

    running.capture(f"{spec}&speed={speed}")

    assert_complete(tmp_path, utc)
    assert flagged(Flag.AMBIGUOUS_TIME) == []
    assert flagged(Flag.LATE) == []
    # Nothing that was captured is taken for gone at the switch.
    assert sum(part["missing"] for batch in Batch.objects.order_by("pk") for part in batch.parts) == 0


def test_an_outage_over_the_switch_leaves_only_what_cannot_be_told_marked(tmp_path: Path) -> None:
    utc = times(AUTUMN_MSC)
    spec = record(tmp_path, ticks_at(utc, AUTUMN_MSC, 3, 2))

    capture_at(spec, AUTUMN_MSC - 40 * MINUTE_MS, int(utc[0]))
    capture_at(spec, AUTUMN_MSC + 90 * MINUTE_MS, int(utc[0]))
    running.capture(f"{spec}&speed=max")

    assert_complete(tmp_path, None)
    # The first pass was captured for 20 minutes: the other 40 minutes of the hour may be of either pass.
    unsure = flagged(Flag.AMBIGUOUS_TIME)
    expected = np.count_nonzero((utc > AUTUMN_MSC - 40 * MINUTE_MS) & (utc < AUTUMN_MSC)) + np.count_nonzero(
        (utc >= AUTUMN_MSC + 20 * MINUTE_MS) & (utc < AUTUMN_MSC + HOUR_MS)
    )
    assert abs(len(unsure) - expected) <= 2
    assert min(unsure) >= AUTUMN_MSC + 19 * MINUTE_MS
    assert max(unsure) < AUTUMN_MSC + HOUR_MS
    unread = UnsurePass.objects.get(epoch__source__name="broker", epoch__starts_msc=AUTUMN_MSC)
    assert unread.to_msc == AUTUMN_MSC + 3 * HOUR_MS


def test_an_epoch_of_many_pages_is_read_to_its_end_before_the_next_begins(tmp_path: Path, settings: Settings) -> None:
    settings.PAGE_TICKS = 100
    utc = times(AUTUMN_MSC)
    spec = record(tmp_path, ticks_at(utc, AUTUMN_MSC, 3, 2))

    capture_at(spec, AUTUMN_MSC - 115 * MINUTE_MS, int(utc[0]))
    capture_at(spec, AUTUMN_MSC + 90 * MINUTE_MS, int(utc[0]))
    running.capture(f"{spec}&speed=max")

    assert_complete(tmp_path, None)


def test_an_outage_within_the_first_pass_is_told_apart_when_capture_is_back_soon(tmp_path: Path) -> None:
    utc = times(AUTUMN_MSC)
    spec = record(tmp_path, ticks_at(utc, AUTUMN_MSC, 3, 2))

    capture_at(spec, AUTUMN_MSC - 30 * MINUTE_MS, int(utc[0]))
    # Ten minutes into the second pass: what lies further ahead can only be of the first.
    capture_at(spec, AUTUMN_MSC + 10 * MINUTE_MS, int(utc[0]))
    running.capture(f"{spec}&speed=max")

    assert_complete(tmp_path, utc)
    assert flagged(Flag.AMBIGUOUS_TIME) == []


def test_a_row_that_arrives_late_after_the_switch_goes_to_its_own_pass_or_is_marked(tmp_path: Path) -> None:
    utc = times(AUTUMN_MSC)
    wall = ticks_at(utc, AUTUMN_MSC, 3, 2)
    # Made 20 minutes before the switch, arrives 5 minutes after it: 08:40 on a clock that shows 08:05.
    made = int(np.searchsorted(utc, AUTUMN_MSC - 20 * MINUTE_MS))
    arrives = int(np.searchsorted(utc, AUTUMN_MSC + 5 * MINUTE_MS))
    order = np.concatenate([np.delete(np.arange(len(utc)), made)[: arrives - 1], [made], np.arange(arrives, len(utc))])
    spec = record(tmp_path, wall[order])

    for minute in (-1, 4, 6, 12, 70):
        capture_at(spec, AUTUMN_MSC + minute * MINUTE_MS, int(utc[0]))
    running.capture(f"{spec}&speed=max")

    assert_complete(tmp_path, None)
    late = flagged(Flag.LATE)
    assert late in ([int(utc[made])], flagged(Flag.AMBIGUOUS_TIME))


def test_a_restart_after_the_switch_goes_on_in_the_second_pass(tmp_path: Path) -> None:
    utc = times(AUTUMN_MSC)
    spec = record(tmp_path, ticks_at(utc, AUTUMN_MSC, 3, 2))

    for minute in range(-61, 70, 10):
        capture_at(spec, AUTUMN_MSC + minute * MINUTE_MS, int(utc[0]))
    running.capture(f"{spec}&speed=max")

    assert_complete(tmp_path, None)


def test_a_symbol_added_later_is_captured_from_its_begin_in_an_epoch_that_has_passed(tmp_path: Path) -> None:
    utc = times(SPRING_MSC, every_ms=30_001, hours=1.5)
    ticks = ticks_at(utc, SPRING_MSC, 2, 3)
    np.savez(tmp_path / "BTCUSD.npz", ticks=ticks)
    spec = f"replay:{tmp_path}?name=broker&clock=NY%2B7&speed=max"
    running.capture(spec)
    np.savez(tmp_path / "ETHUSD.npz", ticks=ticks)

    added = running.capture(spec)
    again = running.capture(spec)

    assert (added, again) == (len(ticks), 0)
    running.drain()
    report = reconcile.reconcile(Scope(is_deep=True))
    assert (report.captured, report.lost, report.stored_twice, report.differences) == (2 * len(ticks), 0, 0, [])


def test_a_broker_that_does_not_switch_has_its_impossible_hour_held(tmp_path: Path) -> None:
    utc = times(SPRING_MSC, hours=0.5)
    spec = record(tmp_path, ticks_at(utc, SPRING_MSC, 2, 2))

    running.capture(f"{spec}&speed=max")
    running.drain()

    held = QuarantinedTick.objects.order_by("time_msc", "seq")
    assert [row.time_msc for row in held] == utc[utc >= SPRING_MSC].tolist()
    assert {row.quality & int(Flag.NO_SUCH_TIME) for row in held} == {int(Flag.NO_SUCH_TIME)}
    assert_complete(tmp_path, None)
