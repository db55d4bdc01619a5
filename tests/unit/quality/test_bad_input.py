"""No input crashes a check, changes a tick or loses a row, and no cut of it changes a flag."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality import findings, inspection
from quality.inspection import Limits
from quality.rules import Thresholds
from tests.builders import NOON_MSC, make_batch, make_facts, make_ticks
from tickhub.core import flags as flag_names
from tickhub.core import ticks as tick_arrays
from tickhub.core.flags import Flag
from tickhub.core.ticks import TICK_DTYPE, Ticks

STRICT = Thresholds(0, 0, 0, 0, 100, 0, 1, -(1 << 52), 1 << 52, 0, 0, 0)
LARGEST = Thresholds(10**6, 10**9, 10**6, 10**9, 0, 86_400_000, 10**9, 0, 0, 1 << 52)
OFF = Thresholds(None, None, None, None, None, None, None, None, None)
WHOLE_64 = st.integers(-(1 << 63), (1 << 63) - 1)
PRICES = st.one_of(
    st.sampled_from(
        [0.0, -0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"), 1.1, 1.10001, 2.0**52]
    ),
    st.floats(width=64),
)
TIMES = st.one_of(st.integers(NOON_MSC, NOON_MSC + 5), st.just(NOON_MSC + 90_000), WHOLE_64)
ROWS = st.tuples(
    st.one_of(st.just(NOON_MSC // 1000), WHOLE_64),
    *(PRICES, PRICES, PRICES),
    st.one_of(st.integers(0, 3), st.integers(0, (1 << 64) - 1)),
    TIMES,
    st.one_of(st.sampled_from([0, 2, 6, 24, 0xFFFFFFFF]), st.integers(0, 0xFFFFFFFF)),
    PRICES,
)


Row = tuple[int, float, float, float, int, int, int, float]


def make(rows: list[Row]) -> Ticks:
    return tick_arrays.freeze(np.array(rows, dtype=TICK_DTYPE))


@settings(deadline=None, max_examples=120)
@given(
    rows=st.lists(ROWS, max_size=12),
    repeats=st.integers(1, 12),
    cut=st.integers(0, 150),
    digits=st.integers(0, 8),
    is_quoted=st.booleans(),
    thresholds=st.sampled_from([Thresholds(), STRICT, LARGEST, OFF]),
)
def test_any_ticks_are_judged_one_flag_each_unchanged_and_alike_wherever_they_are_cut(
    rows: list[Row], repeats: int, cut: int, digits: int, is_quoted: bool, thresholds: Thresholds
) -> None:
    ticks = make(rows * repeats)
    before = ticks.tobytes()
    facts = {1: make_facts(digits=digits, is_quoted=is_quoted)}
    limits = Limits(631_152_000_000, 0, {1: thresholds})

    whole = inspection.judge(make_batch(ticks, poll_msc=NOON_MSC), facts=facts, limits=limits)
    cut = min(cut, len(ticks))
    pieces = [
        inspection.inspect(make_batch(piece, context=context, poll_msc=NOON_MSC), facts=facts, limits=limits)
        for piece, context in ((ticks[:cut], ticks[:0]), (ticks[cut:], ticks[max(0, cut - 64) : cut]))
    ]

    assert ticks.tobytes() == before
    assert (len(whole.flags), str(whole.flags.dtype)) == (len(ticks), "int32")
    not_finite = [any(not math.isfinite(float(row[at])) for at in (1, 2, 3, 7)) for row in rows] * repeats
    assert (whole.flags & Flag.NOT_FINITE != 0).tolist() == not_finite
    assert np.concatenate(pieces).tolist() == whole.flags.tolist()
    assert set(whole.spikes) == set(np.flatnonzero(whole.flags & Flag.REVERT).tolist())
    findings.observe(make_batch(ticks), flags=whole.flags, spikes=whole.spikes)


@pytest.mark.parametrize(
    "ticks",
    [
        make_ticks([]),
        make_ticks([(0, float("nan"), float("nan"))] * 200),
        make_ticks([(0, 1.1, 1.1)] * 200),
        make_ticks([(200 - place, 1.1, 1.2) for place in range(200)]),
        make_ticks([(place, 1e308, -1e308) for place in range(200)]),
        make_ticks([(place, -0.0, -0.0) for place in range(200)], flags=0xFFFFFFFF),
    ],
    ids=["none", "all NaN", "all equal", "backwards in time", "1e308", "negative zero, every flag"],
)
def test_strange_series_are_judged_row_by_row(ticks: Ticks) -> None:
    flags = inspection.inspect(make_batch(ticks), facts={1: make_facts()}, limits=Limits(0, 0))

    assert len(flags) == len(ticks)


@pytest.mark.parametrize("name", ["bid", "ask", "last", "volume_real"])
def test_a_signalling_nan_is_a_tick_that_is_not_finite_and_no_warning(name: str) -> None:
    ticks = make_ticks([(0, 1.1, 1.2), (1, 1.1, 1.2), (2, 1.1, 1.2)]).copy()
    bits = ticks[name].copy().view("<u8")
    bits[1] = 0x7FF0_0000_0000_0001
    ticks[name] = bits.view("<f8")
    assert ticks.tobytes().count(bytes.fromhex("010000000000f07f")) == 1
    batch = make_batch(tick_arrays.freeze(ticks))

    judgement = inspection.judge(batch, facts={1: make_facts()}, limits=Limits(0, 0))
    findings.observe(batch, flags=judgement.flags, spikes=judgement.spikes)

    assert (judgement.flags & Flag.NOT_FINITE != 0).tolist() == [False, True, False]


def test_a_million_ticks_are_judged_at_once() -> None:
    ticks = tick_arrays.freeze(np.tile(make_ticks([(0, 1.1, 1.2), (1, 1.3, 1.2)]), 500_000))
    batch = make_batch(ticks[:0])
    part = batch.parts[0].__class__(1, 1, 0, len(ticks), 0, None, None)
    seq, late = np.zeros(len(ticks), dtype=np.int16), np.zeros(len(ticks), dtype=bool)
    whole = batch.__class__(1, 1, NOON_MSC, NOON_MSC, (part,), ticks, seq, late, batch.context)

    flags = inspection.inspect(whole, facts={1: make_facts()}, limits=Limits(0, 0))

    assert (len(flags), flag_names.counts(flags)["CROSSED"]) == (1_000_000, 500_000)
