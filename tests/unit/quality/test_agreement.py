"""Two feeds compared second by second, by hand and on the recordings of two brokers of one fortnight."""

import numpy as np

from quality import agreement
from quality.agreement import Prices
from tests.builders import NOON_MSC, make_ticks, make_trades
from tests.conftest import recording
from tickhub.core.ticks import Ticks

NAN = float("nan")


def prices(ticks: Ticks, *, is_quoted: bool = True) -> Prices:
    return agreement.prices(ticks, digits=5, is_quoted=is_quoted)


def told(found: Prices) -> list[tuple[int, float]]:
    return [
        (int(second) - NOON_MSC // 1000, round(float(at), 6))
        for second, at in zip(found.second, found.points, strict=True)
    ]


def test_the_price_of_a_second_is_that_of_its_last_quote() -> None:
    found = prices(make_ticks([(0, 1.1, 1.1002), (999, 1.1001, 1.1003), (1000, 1.1, 1.1), (5500, 1.2, 1.1)]))

    assert told(found) == [(0, 110020.0), (1, 110000.0), (5, 115000.0)]
    # Of 20, 20, 0 points, and a crossed quote.
    assert round(found.spread_points, 6) == 10.0


def test_what_is_no_price_is_passed_over() -> None:
    found = prices(make_ticks([(0, 1.1, 1.2), (1, 0.0, 1.2), (2, NAN, 1.2), (3, 1.1, float("inf")), (4, 1.1, 1e300)]))

    assert told(found) == [(0, 115000.0)]
    assert told(prices(make_ticks([]))) == []


def test_of_trades_the_last_price_counts() -> None:
    found = prices(make_trades([(0, 1.1, 5), (10, 1.2, 5), (2000, 1.3, 5)]), is_quoted=False)

    assert told(found) == [(0, 120000.0), (2, 130000.0)]
    assert found.spread_points == 0.0


def test_seconds_of_both_are_compared_against_the_wider_spread_and_a_floor() -> None:
    left = prices(make_ticks([(0, 1.1, 1.1001), (1000, 1.1, 1.1001), (2000, 1.1, 1.1001), (9000, 1.1, 1.1001)]))
    # 40 and 60 points above, of a spread of 20, and a second that the other has no tick in.
    right = prices(make_ticks([(500, 1.10035, 1.10055), (1500, 1.10055, 1.10075), (4000, 1.3, 1.3002)]))

    found = agreement.compare(left, right, factor=2, floor_points=5)

    assert (found.compared_s, found.disagreeing_s, found.first_msc) == (2, 1, NOON_MSC + 1000)
    assert (round(found.worst_points, 6), round(found.band_points, 6)) == (60.0, 45.0)
    assert agreement.compare(left, right, factor=0, floor_points=0).disagreeing_s == 2
    assert agreement.compare(left, prices(make_ticks([])), factor=2, floor_points=5).compared_s == 0


def test_two_brokers_of_one_fortnight_agree_in_every_second() -> None:
    fxcm, oanda = (prices(np.load(recording(f"eurusd_{name}_201405.npz"))["ticks"]) for name in ("fxcm", "oanda"))

    found = agreement.compare(fxcm, oanda, factor=3, floor_points=20)

    # 42 points is the largest difference that was found when the two recordings were collected.
    assert (round(found.worst_points, 6), found.disagreeing_s) == (42.0, 0)
    assert found.compared_s == len(np.intersect1d(fxcm.second, oanda.second)) > 100_000


def test_a_feed_of_another_time_disagrees() -> None:
    ticks = np.load(recording("eurusd_oanda_201405.npz"))["ticks"].copy()
    other = ticks.copy()
    # Five minutes late, as under a clock that is off.
    other["time_msc"] += 300_000

    found = agreement.compare(prices(ticks), prices(other), factor=3, floor_points=20)

    assert found.disagreeing_s > 0.01 * found.compared_s
