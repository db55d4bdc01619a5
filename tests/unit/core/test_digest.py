"""The digest of a set of ticks."""

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import make_ticks, make_trades
from tickhub.core import digest
from tickhub.core.digest import Digest

MASK = (1 << 64) - 1


def splitmix(state: int) -> int:
    """SplitMix64's finaliser as published, on Python integers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def oracle(rows: list[tuple[float, ...]]) -> Digest:
    """The digest written a second time, tick by tick on Python integers."""
    sums = []
    for seed in (1, 2):
        multipliers = [splitmix((seed + i * 0x9E3779B97F4A7C15) & MASK) | 1 for i in range(1, 8)]
        total = 0
        for row in rows:
            lanes = struct.unpack("<7Q", struct.pack("<qdddQQd", *row))
            mixed = sum((lane ^ (lane >> 32)) * m for lane, m in zip(lanes, multipliers, strict=True)) & MASK
            total = (total + splitmix(mixed)) & MASK
        sums.append(total)
    return Digest(len(rows), sums[0], sums[1])


def test_digest_equals_the_same_formula_on_python_integers() -> None:
    quotes = make_ticks([(0, 1.1, 1.2), (1, 1.3, 1.2)])
    trades = make_trades([(2, 99.5, 7)])
    ticks = np.concatenate([quotes, trades])

    expected = oracle(
        [
            (
                int(t["time_msc"]),
                *(float(t[f]) for f in ("bid", "ask", "last")),
                int(t["volume"]),
                int(t["flags"]),
                float(t["volume_real"]),
            )
            for t in ticks
        ]
    )
    assert digest.of(ticks) == expected


def test_order_does_not_change_a_digest() -> None:
    ticks = make_ticks([(i, 1.0 + i / 100, 1.1 + i / 100) for i in range(50)])

    assert digest.of(ticks[::-1]) == digest.of(ticks)


def test_two_equal_ticks_do_not_cancel() -> None:
    ticks = make_ticks([(0, 1.1, 1.2), (0, 1.1, 1.2)])

    assert digest.of(ticks) != digest.Digest(2, 0, 0)
    assert digest.of(ticks) == digest.of(ticks[:1]) + digest.of(ticks[1:])


def test_negative_zero_is_another_record_than_zero() -> None:
    assert digest.of(make_ticks([(0, 0.0, 1.2)])) != digest.of(make_ticks([(0, -0.0, 1.2)]))


def test_digest_with_an_offset_is_that_of_the_shifted_ticks() -> None:
    terminal = make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.3)])
    utc = make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.3)], start_msc=int(terminal["time_msc"][0]) - 3 * 3_600_000)

    assert digest.of(terminal, offset_ms=3 * 3_600_000) == digest.of(utc)


def test_digests_by_key_add_up_scattered_runs() -> None:
    ticks = make_ticks([(i, 1.1, 1.2) for i in range(6)])
    keys = np.array([7, 7, 8, 7, 8, 8])

    found = digest.by_key(ticks, keys)

    assert {key: value.count for key, value in found.items()} == {7: 3, 8: 3}
    assert found[7] + found[8] == digest.of(ticks)


def test_a_digest_survives_json() -> None:
    value = digest.of(make_ticks([(0, 1.1, 1.2)]))

    assert Digest.from_list(value.as_list()) == value


@given(cut=st.integers(0, 9_000))
def test_the_digest_of_a_whole_is_the_sum_of_its_parts_wherever_it_is_cut(cut: int) -> None:
    ticks = make_ticks([(i, 1.0 + i, 2.0 + i) for i in range(30)] * 300)

    assert digest.of(ticks[:cut]) + digest.of(ticks[cut:]) == digest.of(ticks)
