"""The backlog that the pipeline is measured on: the real recordings, the largest again under further symbols."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ingest.sources import recording
from ingest.sources.market import Market
from tickhub.core.ticks import Ticks

TICKS_LEAST = 5_000_000
RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "data"


@contextmanager
def folder(least: int = TICKS_LEAST) -> Iterator[tuple[Path, str]]:
    """Give a folder of recordings with at least so many ticks, and one word for what they are."""
    with tempfile.TemporaryDirectory(prefix="tickhub-backlog-") as made:
        path = Path(made)
        if RECORDINGS.is_dir():
            _link_recordings(path, least)
            yield path, "recordings"
        else:
            _generate(path, least)
            yield path, "generated"


def _link_recordings(path: Path, least: int) -> None:
    files = [file for file in sorted(RECORDINGS.iterdir()) if file.suffix in {".npz", ".csv", ".tsv"}]
    counts = {}
    for file in files:
        (path / file.name).symlink_to(file)
        counts[file] = len(recording.load(file).ticks)
    total, largest = sum(counts.values()), max(counts, key=lambda file: counts[file])
    copy = 0
    while total < least:
        copy += 1
        (path / f"COPY{copy:03d}_{largest.name}").symlink_to(largest)
        total += counts[largest]


def _generate(path: Path, least: int) -> None:
    symbols = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD")
    start_msc = 1_772_452_800_000
    end_msc = start_msc + least // 10_000 * 1100
    for symbol in symbols:
        market = Market(symbol=symbol, symbols=symbols, rate=10_000, seed=1)
        ticks: Ticks = np.concatenate(
            [market.ticks_between(t, min(t + 60_000, end_msc)) for t in range(start_msc, end_msc, 60_000)]
        )
        np.savez(path / f"{symbol}.npz", ticks=ticks)
