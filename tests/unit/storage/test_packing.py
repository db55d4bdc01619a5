"""Rows of binary COPY, against the format written out by hand."""

import struct

import numpy as np
import pytest

from storage import packing
from storage.packing import Rows
from tests.builders import NOON_MSC, make_ticks, make_trades
from tickhub.core.ticks import Ticks


def by_hand(rows: Rows) -> bytes:
    """The same rows, one value at a time, after the PostgreSQL manual's description of the format."""
    out = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
    for i in range(len(rows)):
        tick = rows.ticks[i]
        columns: list[tuple[str, float | int | None]] = [("q", int(tick["time_msc"])), ("q", int(rows.batch_id))]
        columns += [
            ("d", float(tick[n]) if struct.pack("d", tick[n]) != bytes(8) else None) for n in ("bid", "ask", "last")
        ]
        columns.append(("q", int(tick["volume"]) or None))
        columns.append(("d", float(tick["volume_real"]) if struct.pack("d", tick["volume_real"]) != bytes(8) else None))
        columns += [("i", int(tick["flags"])), ("i", int(rows.quality[i]) or None)]
        columns += [("h", int(rows.feed_id[i])), ("h", int(rows.seq[i]))]
        out += struct.pack(">h", len(columns))
        for form, value in columns:
            raw = b"" if value is None else struct.pack(f">{form}", value)
            out += struct.pack(">i", -1 if value is None else len(raw)) + raw
    return out + struct.pack(">h", -1)


def make_rows(ticks: Ticks, quality: list[int]) -> Rows:
    count = len(ticks)
    return Rows(
        feed_id=np.arange(1, count + 1, dtype=np.int16),
        seq=np.arange(count, dtype=np.int16),
        ticks=ticks,
        quality=np.array(quality, dtype=np.int32),
        batch_id=81,
    )


@pytest.mark.parametrize(
    ("ticks", "quality"),
    [
        (make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.3)]), [0, 0]),
        (make_trades([(0, 99.5, 7), (1, 99.25, 3)]), [16, 32]),
        (np.concatenate([make_ticks([(0, 1.1, 1.2), (1, 0.0, 1.2)]), make_trades([(2, 99.5, 7)])]), [0, 16, 0]),
        (make_ticks([(0, -0.0, 1.2), (1, 0.0, 1.2)]), [0, 0]),
        (make_ticks([]), []),
    ],
    ids=["quotes", "trades", "mixed", "negative zero", "none"],
)
def test_packed_rows_equal_the_format_by_hand(ticks: Ticks, quality: list[int]) -> None:
    rows = make_rows(ticks, quality)

    assert packing.pack(rows) == by_hand(rows)


def test_rows_are_sorted_by_feed_time_and_seq() -> None:
    ticks = make_ticks([(2, 1.1, 1.2), (1, 1.1, 1.2), (1, 1.1, 1.2), (9, 1.1, 1.2)])
    rows = Rows(
        feed_id=np.array([2, 1, 1, 1], dtype=np.int16),
        seq=np.array([0, 1, 0, 0], dtype=np.int16),
        ticks=ticks,
        quality=np.zeros(4, dtype=np.int32),
        batch_id=1,
    )

    found = rows.sorted_by_key()

    assert (found.ticks["time_msc"] - NOON_MSC).tolist() == [1, 1, 9, 2]
    assert found.seq.tolist() == [0, 1, 0, 0]


def test_rows_in_order_are_not_copied() -> None:
    rows = make_rows(make_ticks([(0, 1.1, 1.2), (1, 1.1, 1.2)]), [0, 0])

    assert rows.sorted_by_key() is rows
