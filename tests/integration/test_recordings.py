"""Every real recording goes in and comes out again as the same multiset of 60-byte records."""

from pathlib import Path

import pytest

from quality.models import QuarantinedTick
from tests import running
from tests.conftest import RECORDINGS, recording
from tests.oracle import compare_export
from tickhub import exporting, reconcile
from tickhub.management.periods import EVER
from tickhub.reconcile import Scope
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.timeout(400)]


def assert_export_equals(feed: Feed, source: Path, folder: Path) -> None:
    out = folder / "export.npz"
    exporting.export(feed=feed, from_msc=EVER[0], to_msc=EVER[1], with_quarantined=False, out=out)
    exported, original = compare_export.load(out), compare_export.load(source)
    assert compare_export.compare(exported, original) == (0, 0), source.name
    assert len(exported) == len(original) > 0


def file_of(symbol: str) -> Path:
    """The file that a folder's symbol was played from, found by name alone."""
    stem, _, number = symbol.partition(".")
    names = sorted(
        path
        for path in RECORDINGS.iterdir()
        if path.suffix in {".npz", ".csv"} and stem in path.stem.upper().split("_")
    )
    return names[int(number) - 1 if number else 0]


def test_the_folder_of_all_recordings_as_one_terminal(tmp_path: Path) -> None:
    recording("eurusd_fxcm_201405.npz")
    captured = running.capture(f"replay:{RECORDINGS}?speed=max")
    running.drain()

    feeds = list(reference.feeds())

    assert captured == 4_197_192
    assert len(feeds) == len([p for p in RECORDINGS.iterdir() if p.suffix in {".npz", ".csv"}])
    for feed in feeds:
        assert_export_equals(feed, file_of(feed.symbol), tmp_path)
    assert QuarantinedTick.objects.count() == 0
    report = reconcile.reconcile(Scope(is_deep=True))
    assert (report.lost, report.stored_twice, report.differences) == (0, 0, [])


@pytest.mark.parametrize(
    ("name", "speed"),
    [
        ("btcusdt_binance_usdm_live_20240808.npz", "20"),
        ("btcusd_perp_binance_cm_live_20240809.npz", "20"),
        ("btcusdt_binance_usdm_live_20240808.npz", "max"),
        ("btcusd_perp_binance_cm_live_20240809.npz", "max"),
        ("derived_mt5_export_layout_USDJPY_20251107.csv", "max"),
        ("spy_lean_trades_201310.npz", "max"),
    ],
)
def test_a_recording_alone(name: str, speed: str, tmp_path: Path) -> None:
    path = recording(name)
    running.capture(f"replay:{path}?symbol=X&speed={speed}")
    running.drain()

    assert_export_equals(reference.one_feed(symbol="X", source=None), path, tmp_path)
    assert QuarantinedTick.objects.count() == 0
    report = reconcile.reconcile(Scope())
    assert (report.lost, report.stored_twice, report.differences) == (0, 0, [])
