"""A correction of a source with several feeds, which were captured in the same batches: each feed by its own ticks."""

from pathlib import Path

import numpy as np
import pytest

from ingest.models import Batch, Cursor
from quality.models import QuarantinedTick
from storage import reader
from tests import running
from tests.integration.test_clock_corrections import correct, is_clean
from tests.integration.test_clocks import AUTUMN_MSC, HOUR_MS, SPRING_MSC, ticks_at, times
from tests.oracle import compare_export
from tickhub import exporting
from tickhub.core.ticks import Int64s, Ticks
from tickhub.management.periods import EVER
from tickhub.reference import queries as reference

pytestmark = pytest.mark.usefixtures("database")


def record(folder: Path, rule: str, shown: dict[str, Ticks]) -> str:
    for symbol, ticks in shown.items():
        np.savez(folder / f"{symbol}.npz", ticks=ticks)
    return f"replay:{folder}?name=broker&speed=max&clock={rule.replace('+', '%2B')}"


def assert_each_at_its_time(folder: Path, made_at: dict[str, Int64s]) -> None:
    """Every tick is exported as it was recorded, and stands, or is held, at the time that it was made at."""
    running.drain()
    for symbol, utc in made_at.items():
        feed = reference.one_feed(symbol=symbol, source=None)
        out = folder.with_name(f"{symbol}-export.npz")
        exporting.export(feed=feed, from_msc=EVER[0], to_msc=EVER[1], with_quarantined=True, out=out)
        recorded = compare_export.load(folder / f"{symbol}.npz")
        assert compare_export.compare(compare_export.load(out), recorded) == (0, 0)
        found = reader.read(feed_id=feed.pk, from_msc=EVER[0], to_msc=EVER[1]).ticks["time_msc"].tolist()
        found += QuarantinedTick.objects.filter(feed=feed).order_by("pk").values_list("time_msc", flat=True)
        assert sorted(found) == utc.tolist()
    assert is_clean()


def test_feeds_captured_together_stand_at_their_own_utc_times_and_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    # One feed trades all the time, one ends before the clock changes, one has a tick that is held.
    utc = {
        "BUSY": times(SPRING_MSC, every_ms=60_011, hours=4),
        "ENDS": times(SPRING_MSC - 3 * HOUR_MS, every_ms=301_001, hours=1),
        "HELD": times(SPRING_MSC, every_ms=600_011, hours=4),
    }
    shown = {symbol: ticks_at(made_at, SPRING_MSC, 2, 3) for symbol, made_at in utc.items()}
    shown["HELD"]["bid"][-3] = np.nan
    running.capture(record(folder, "+02:00", shown))
    running.drain()
    assert any(len({part["feed"] for part in batch.parts}) == 3 for batch in Batch.objects.order_by("pk"))

    correct("NY+7")

    assert_each_at_its_time(folder, utc)
    assert len(set(Cursor.objects.values_list("epoch_id", flat=True))) == 2
    # Where they left off, also the one that ended before the switch.
    later = {
        symbol: np.concatenate([made_at, times(SPRING_MSC + 6 * HOUR_MS, every_ms=60_011, hours=1)])
        for symbol, made_at in utc.items()
    }
    again = {symbol: ticks_at(made_at, SPRING_MSC, 2, 3) for symbol, made_at in later.items()}
    again["HELD"]["bid"][len(utc["HELD"]) - 3] = np.nan
    assert running.capture(record(folder, "NY+7", again)) == 3 * (len(later["BUSY"]) - len(utc["BUSY"]))
    assert_each_at_its_time(folder, later)


def test_second_pass_of_one_feed_does_not_tell_the_pass_of_another(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    # Only one feed trades in the hour that the clock shows twice.
    utc = {
        "BOTH": times(AUTUMN_MSC, every_ms=60_011, hours=3),
        "NONE": times(AUTUMN_MSC - 3 * HOUR_MS, every_ms=61_001, hours=1),
    }
    running.capture(record(folder, "+02:00", {symbol: ticks_at(u, AUTUMN_MSC, 3, 2) for symbol, u in utc.items()}))
    running.drain()

    figures = correct("NY+7")

    quiet = reference.one_feed(symbol="NONE", source=None)
    found = reader.read(feed_id=quiet.pk, from_msc=EVER[0], to_msc=EVER[1])
    assert found.ticks["time_msc"].tolist() == utc["NONE"].tolist()
    in_the_hour = (utc["BOTH"] >= AUTUMN_MSC - HOUR_MS) & (utc["BOTH"] < AUTUMN_MSC + HOUR_MS)
    assert figures["ambiguous"] == np.count_nonzero(in_the_hour)
    assert is_clean()
