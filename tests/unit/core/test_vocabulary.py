"""Ticks, flags, clock and marks."""

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest

from tests.builders import make_ticks
from tickhub.core import batch, clock, flags
from tickhub.core import ticks as tick_arrays
from tickhub.core.flags import Flag


def test_the_record_has_the_layout_of_the_real_package() -> None:
    facts = json.loads((Path(__file__).parents[2] / "golden" / "mt5_facts.json").read_text())

    assert [[name, tick_arrays.TICK_DTYPE[name].str] for name in tick_arrays.TICK_DTYPE.names or ()] == facts[
        "ticks_dtype"
    ]
    assert tick_arrays.TICK_SIZE_BYTES == 60


def test_ticks_read_from_bytes_cannot_be_changed() -> None:
    ticks = tick_arrays.from_bytes(make_ticks([(0, 1.1, 1.2)]).tobytes())

    with pytest.raises(ValueError, match="read-only"):
        ticks["bid"] = 2.0


def test_positions_number_equal_neighbours() -> None:
    assert tick_arrays.position_in_group(np.array([5, 5, 7, 7, 7, 5])).tolist() == [0, 1, 0, 1, 2, 0]


def test_nan_equals_itself_when_records_are_compared() -> None:
    ticks = make_ticks([(0, float("nan"), 1.2)])

    assert tick_arrays.same(ticks, ticks.copy())


def test_flag_names_come_in_the_order_of_their_bits() -> None:
    assert flags.names(int(Flag.LATE | Flag.NO_BID)) == ("NO_BID", "LATE")


def test_a_bit_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="0x40000000"):
        flags.names(1 << 30)


def test_flags_are_counted_by_name() -> None:
    values = np.array([int(Flag.LATE), int(Flag.LATE | Flag.CROSSED), 0], dtype=np.int32)

    assert flags.counts(values) == {"CROSSED": 1, "LATE": 2}


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no zone"):
        clock.from_datetime(dt.datetime(2026, 1, 1))  # noqa: DTZ001  # the point of the test


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2014-05-01T05:00:00Z", 1_398_920_400_000),
        ("2014-05-01T05:00:00", 1_398_920_400_000),
        ("2014-05-01T08:00:00+03:00", 1_398_920_400_000),
        ("1398920400000", 1_398_920_400_000),
    ],
)
def test_times_are_read_as_utc_unless_they_name_an_offset(text: str, expected: int) -> None:
    assert clock.parse(text) == expected


def test_a_time_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="'yesterday'"):
        clock.parse("yesterday")


def test_marks_carry_seq_and_lateness() -> None:
    seq, late = batch.unpack_marks(batch.pack_marks(np.array([0, 5, 40_000]), np.array([False, True, False])))

    assert seq.tolist() == [0, 5, 0x7FFF]
    assert late.tolist() == [False, True, False]
