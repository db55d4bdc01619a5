"""The generated market: the same for ever, and shaped like the real ones."""

import hashlib

import numpy as np
import pytest

from ingest.sources.market import Market
from tests.builders import NOON_MSC
from tickhub.core.ticks import TICK_DTYPE, Ticks

NOON_S = NOON_MSC // 1000
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD")


def market(symbol: str = "EURUSD", *, rate: float = 400.0, seed: int = 1) -> Market:
    return Market(symbol=symbol, symbols=SYMBOLS, rate=rate, seed=seed)


@pytest.fixture(scope="module")
def ten_minutes() -> Ticks:
    return market().ticks_between(NOON_MSC, NOON_MSC + 600_000)


def test_market_stays_what_it_was_under_any_version_and_processor() -> None:
    ticks = market().ticks_between(NOON_MSC, NOON_MSC + 60_000)

    # Recorded once: a change of this value breaks the recovery of every running simulation.
    assert (
        hashlib.sha256(ticks.tobytes()).hexdigest()
        == "7bfa0d625f34a5e39b50d11eb7bd57035b3241f054ee7c242dd4fc91bc211bde"
    )


def test_second_is_the_same_however_it_is_asked_for() -> None:
    one_by_one = [market().ticks_of_second(second) for second in range(NOON_S, NOON_S + 40)]
    in_one_go = market().ticks_between(NOON_MSC, NOON_MSC + 40_000)

    assert np.concatenate(one_by_one).tobytes() == in_one_go.tobytes()


def test_part_of_a_second_is_half_open() -> None:
    whole = market().ticks_of_second(NOON_S)
    middle_msc = int(whole["time_msc"][50])

    before = market().ticks_between(NOON_MSC, middle_msc)
    behind = market().ticks_between(middle_msc, NOON_MSC + 1_000)

    assert before["time_msc"].max() < middle_msc == behind["time_msc"].min()
    assert np.concatenate([before, behind]).tobytes() == whole.tobytes()


def test_seed_symbol_and_rate_make_other_markets() -> None:
    noon = market().ticks_of_second(NOON_S).tobytes()

    assert market(seed=2).ticks_of_second(NOON_S).tobytes() != noon
    assert market("GBPUSD").ticks_of_second(NOON_S).tobytes() != noon
    assert market(rate=401.0).ticks_between(NOON_MSC, NOON_MSC + 60_000).tobytes() != noon


@pytest.mark.parametrize("rate", [0.5, 4.0, 50.0, 4_000.0])
def test_symbols_share_the_rate_equally(rate: float) -> None:
    seconds = 2_000
    counts = [len(market(symbol, rate=rate).ticks_between(NOON_MSC, NOON_MSC + seconds * 1000)) for symbol in SYMBOLS]

    # Five times the deviation of a Poisson count.
    mean = rate / 4 * seconds
    assert all(abs(count - mean) < 5 * mean**0.5 for count in counts)


def test_ticks_are_records_of_the_terminal_in_order_of_time(ten_minutes: Ticks) -> None:
    assert ten_minutes.dtype == TICK_DTYPE
    assert not ten_minutes.flags.writeable
    assert np.all(np.diff(ten_minutes["time_msc"]) >= 0)
    assert np.array_equal(ten_minutes["time"], ten_minutes["time_msc"] // 1000)


def test_bid_is_never_above_ask_and_both_have_the_symbol_s_digits(ten_minutes: Ticks) -> None:
    assert np.all(ten_minutes["bid"] <= ten_minutes["ask"])
    assert np.array_equal(np.round(ten_minutes["bid"], 5), ten_minutes["bid"])
    assert 1.0 < ten_minutes["bid"].min() < ten_minutes["ask"].max() < 1.2


def test_market_holds_what_real_feeds_hold(ten_minutes: Ticks) -> None:
    same_ms = ten_minutes["time_msc"][1:] == ten_minutes["time_msc"][:-1]
    identical = ten_minutes[1:] == ten_minutes[:-1]
    has_high_bit = (ten_minutes["flags"] & 0x400) != 0

    assert set((ten_minutes["flags"] & 0x7E).tolist()) == {2, 4, 6}
    assert 0.03 < same_ms.mean() < 0.5
    assert 0.005 < identical.mean() < 0.05
    assert 0.05 < has_high_bit.mean() < 0.25
    assert 0.05 < (ten_minutes["bid"] == ten_minutes["ask"]).mean() < 0.3


def test_price_does_not_jump(ten_minutes: Ticks) -> None:
    steps_points = np.abs(np.diff(ten_minutes["bid"])) * 1e5

    assert steps_points.max() < 10


@pytest.mark.parametrize(("symbol", "digits"), [("USDJPY", 3), ("XAUUSD", 2), ("EURUSD.m", 5), ("US500", 2)])
def test_symbol_has_its_usual_digits(symbol: str, digits: int) -> None:
    assert Market(symbol=symbol, symbols=(symbol,), rate=1, seed=1).style.digits == digits


def test_second_of_a_busy_market_may_be_empty_in_a_slow_one() -> None:
    slow = market(rate=0.04)

    counts = [len(slow.ticks_of_second(second)) for second in range(NOON_S, NOON_S + 500)]

    assert 0 < sum(counts) < 30
    assert set(counts) <= {0, 1}
