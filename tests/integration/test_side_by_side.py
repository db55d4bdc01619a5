"""Several sources of one instrument are captured side by side, each into its own feed."""

import lzma
import struct
from pathlib import Path

import numpy as np
import pytest

from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.oracle import compare_export
from tickhub import exporting, reconcile
from tickhub.core.errors import UsageError
from tickhub.core.ticks import TICK_DTYPE
from tickhub.management.periods import EVER
from tickhub.reconcile import Scope
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed, Instrument, Source

pytestmark = pytest.mark.usefixtures("database")


def exported(feed: Feed, folder: Path) -> np.ndarray:
    out = folder / f"{feed.pk}.npz"
    exporting.export(feed=feed, from_msc=EVER[0], to_msc=EVER[1], with_quarantined=False, out=out)
    return compare_export.load(out)


def write_hour(folder: Path) -> np.ndarray:
    """Write an hour of Dukascopy and return its ticks, computed here."""
    rows = [(n * 700, 110_010 + n % 5, 110_000 + n % 3, 1.5, 0.75) for n in range(5_000)]
    path = folder / "EURUSD/2026/02/02/12h_ticks.bi5"
    path.parent.mkdir(parents=True)
    path.write_bytes(lzma.compress(b"".join(struct.pack(">iiiff", *row) for row in rows), format=lzma.FORMAT_ALONE))
    ticks = np.zeros(len(rows), dtype=TICK_DTYPE)
    for place, (after_ms, ask, bid, _, _) in enumerate(rows):
        msc = NOON_MSC + after_ms
        ticks[place] = (msc // 1000, bid / 100_000, ask / 100_000, 0, 0x3FC00000_3F400000, msc, 6, 0)
    return ticks


def test_providers_share_the_instrument_and_prove_their_own_feeds(tmp_path: Path) -> None:
    ticks = write_hour(tmp_path / "dukascopy")
    (tmp_path / "EURUSD-2013-01.csv").write_text("EUR/USD,20130101 21:59:59.981,1.32023,1.32054\n")
    (tmp_path / "DAT_ASCII_EURUSD_T_201202.csv").write_text("20120201 000003660,1.3066,1.30677,0\n")
    running.capture(f"dukascopy:{tmp_path}/dukascopy?speed=max&name=D&priority=20")
    running.capture(f"truefx:{tmp_path}/EURUSD-2013-01.csv?speed=max&name=T&priority=10")
    running.capture(f"histdata:{tmp_path}/DAT_ASCII_EURUSD_T_201202.csv?speed=max&name=H")
    running.drain()

    feeds = {feed.source.name: feed for feed in reference.feeds()}
    report = reconcile.reconcile(Scope(is_deep=True))

    assert [source.name for source in reference.sources()] == ["T", "D", "H"]
    assert Instrument.objects.count() == 1
    assert {feed.instrument.code for feed in feeds.values()} == {"EURUSD"}
    assert (feeds["T"].symbol, feeds["D"].symbol, feeds["H"].symbol) == ("EUR/USD", "EURUSD", "EURUSD")
    assert compare_export.compare(exported(feeds["D"], tmp_path), ticks) == (0, 0)
    # In the file's own clock; the feed is in UTC, five hours later.
    assert exported(feeds["H"], tmp_path)["time_msc"].tolist() == [1_328_054_403_660]
    assert feeds["H"].begins_msc == 1_328_072_403_660
    assert (report.lost, report.stored_twice, report.differences, report.unavailable) == (0, 0, [], [])
    assert (report.captured, report.stored) == (5_002, 5_002)


def test_a_symbol_of_several_sources_needs_one_of_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(0, 1.1, 1.2)]))
    (tmp_path / "EURUSD-2013-01.csv").write_text("EUR/USD,20130101 21:59:59.981,1.32023,1.32054\n")
    running.capture(f"replay:{tmp_path}/EURUSD.npz?speed=max&name=A")
    running.capture(f"replay:{tmp_path}/EURUSD.npz?speed=max&name=B")
    running.capture(f"truefx:{tmp_path}/EURUSD-2013-01.csv?speed=max&name=T")

    with pytest.raises(UsageError, match="held by several sources, choose one with --source: A, B"):
        reference.one_feed(symbol="EURUSD", source=None)
    assert reference.one_feed(symbol="EURUSD", source="T").symbol == "EUR/USD"
    assert reference.one_feed(symbol="EURUSD", source="B").source.name == "B"


def test_a_known_source_cannot_be_captured_under_another_price_scale(tmp_path: Path) -> None:
    write_hour(tmp_path)
    running.capture(f"dukascopy:{tmp_path}?speed=max&name=D&symbol=EURUSD")

    with pytest.raises(UsageError, match="it was captured with digits=none; give it another name= to change it"):
        running.capture(f"dukascopy:{tmp_path}?speed=max&name=D&symbol=EURUSD&digits=3")


def test_a_priority_is_a_hundred_until_given_may_change_and_is_kept_where_it_is_not_given(tmp_path: Path) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(0, 1.1, 1.2)]))
    spec = f"replay:{tmp_path}/EURUSD.npz?speed=max"
    priorities = []

    for text in (spec, f"{spec}&priority=5", spec, f"{spec}&priority=100"):
        running.capture(text)
        priorities.append(Source.objects.get().priority)

    assert priorities == [100, 5, 5, 100]
