"""Binary messages: what is written is read again, and nothing is read that is not as described."""

import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.wire import binary, limits
from ingest.wire.closing import Malformed
from ingest.wire.messages import Frame, FramePart, Rows
from tests.builders import NOON_MSC, make_ticks
from tickhub.core import ticks as tick_arrays


def test_a_frame_is_read_as_it_was_written_compressed_or_not() -> None:
    ticks = make_ticks([(i, 1.1, 1.2) for i in range(500)])
    parts = (
        FramePart(0, (NOON_MSC, 3), ticks, is_cut=True),
        FramePart(7, (NOON_MSC, 0), tick_arrays.empty(), error=(-4, "Terminal: Not found")),
    )
    frame = Frame(81, NOON_MSC + 600, parts)

    plain, packed = binary.encode(frame, compress=False), binary.encode(frame)

    assert len(plain) == 24 + 2 * 26 + 19 + 500 * 60
    assert len(packed) < len(plain) / 3
    for raw in (plain, packed):
        found = binary.decode(raw)
        assert isinstance(found, Frame)
        assert (found.number, found.now_msc) == (81, NOON_MSC + 600)
        assert [(p.index, p.cursor, p.is_cut, p.error) for p in found.parts] == [
            (0, (NOON_MSC, 3), True, None),
            (7, (NOON_MSC, 0), False, (-4, "Terminal: Not found")),
        ]
        assert tick_arrays.same(found.parts[0].ticks, ticks)


def test_rows_are_read_as_they_were_written() -> None:
    ticks = make_ticks([(0, float("nan"), 1.2), (0, 1.1, 1.2)])

    found = binary.decode(binary.encode(Rows(5, ticks, has_more=True)))

    assert isinstance(found, Rows)
    assert (found.request, found.has_more) == (5, True)
    assert tick_arrays.same(found.ticks, ticks)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = zlib.compress(bytes(200_000_000), 9)
    raw = binary.encode(Frame(1, NOON_MSC, ()), compress=False)
    head = bytearray(raw)
    head[1], head[4:8] = 1, (4096).to_bytes(4, "little")

    with pytest.raises(Malformed, match="holds more than the 4096 bytes declared") as refused:
        binary.decode(bytes(head) + bomb)

    assert refused.value.code == 1009


def test_a_frame_of_more_ticks_than_allowed_is_refused() -> None:
    ticks = np.repeat(make_ticks([(0, 1.1, 1.2)]), limits.FRAME_TICKS + 1)

    with pytest.raises(Malformed, match="part 0 declares 65537 ticks"):
        binary.decode(binary.encode(Frame(1, NOON_MSC, (FramePart(0, (0, 0), ticks),))))


@given(cut=st.integers(0, 170), at=st.integers(0, 170), value=st.integers(0, 255))
def test_a_damaged_message_is_read_or_refused_and_nothing_else(cut: int, at: int, value: int) -> None:
    raw = bytearray(binary.encode(Frame(1, NOON_MSC, (FramePart(0, (NOON_MSC, 1), make_ticks([(1, 1.1, 1.2)] * 2)),))))
    raw[at % len(raw)] = value

    with suppress(Malformed):
        assert isinstance(binary.decode(bytes(raw[: len(raw) - cut])), Frame | Rows)
