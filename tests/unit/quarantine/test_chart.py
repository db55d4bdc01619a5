"""The chart of a tick among its neighbours: scale, places, and what lies beyond it."""

from dataclasses import replace

from tickhub.quarantine import chart
from tickhub.quarantine.neighbours import Neighbour

NAN, INF = float("nan"), float("inf")


def tick(after_ms: int, bid: float, ask: float, *, row_id: int | None = None, is_here: bool = False) -> Neighbour:
    state = "STORED" if row_id is None else "HELD"
    return Neighbour(after_ms, 0, bid, ask, 0.0, 0.0, (), 1, state, row_id, is_here)


def test_the_scale_is_that_of_the_stored_prices_and_a_held_one_beyond_it_stands_at_the_edge() -> None:
    found = chart.draw([tick(0, 1.0, 2.0), tick(5, -9.0, 2.0, row_id=7, is_here=True), tick(9, 1.5, 3.0)])

    assert found is not None
    assert found.scale == [(found.bottom, "1"), ((found.top + found.bottom) / 2, "2"), (found.top, "3")]
    assert found.here_x == (found.left + found.right) / 2
    assert found.lines == [
        ("bid", f"{found.left}.0,{found.bottom}.0 {found.right}.0,165.0"),
        ("ask", f"{found.left}.0,118.0 {found.right}.0,{found.top}.0"),
    ]
    (beyond,) = (dot for dot in found.dots if dot.way)
    assert (beyond.x, beyond.y, beyond.way, beyond.label, beyond.is_stored) == (485.0, 212, "down", "-9.0", False)


def test_a_released_price_beyond_the_others_does_not_flatten_them() -> None:
    released = replace(tick(5, -9.0, 2.0), flags=("NEGATIVE", "RELEASED"))

    found = chart.draw([tick(0, 1.0, 2.0), released, tick(9, 1.5, 3.0)])

    assert found is not None
    assert [price for _, price in found.scale] == ["1", "2", "3"]
    assert [(dot.label, dot.way) for dot in found.dots if dot.way] == [("-9.0", "down")]


def test_sides_without_a_price_are_left_out() -> None:
    found = chart.draw([tick(0, 1.0, 0.0), tick(5, NAN, 2.0, row_id=7)])

    assert found is not None
    assert [(dot.side, dot.label) for dot in found.dots] == [("bid", "1.0"), ("ask", "2.0")]


def test_an_infinite_price_stands_at_its_edge() -> None:
    found = chart.draw([tick(0, 1.0, 2.0), tick(5, -INF, INF, row_id=7)])

    assert found is not None
    assert [(dot.y, dot.way) for dot in found.dots if not dot.is_stored] == [(found.bottom, "down"), (found.top, "up")]


def test_without_stored_ticks_the_held_ones_make_the_scale() -> None:
    found = chart.draw([tick(0, -1.0, 1.0, row_id=7)])

    assert found is not None
    assert [price for _, price in found.scale] == ["-1", "0", "1"]


def test_prices_that_do_not_move_stand_in_the_middle() -> None:
    found = chart.draw([tick(0, 1.5, 1.5), tick(1, 1.5, 1.5)])

    assert found is not None
    assert {dot.y for dot in found.dots} == {(found.top + found.bottom) / 2}


def test_there_is_no_chart_without_a_price() -> None:
    assert chart.draw([]) is None
    assert chart.draw([tick(0, 0.0, NAN)]) is None
