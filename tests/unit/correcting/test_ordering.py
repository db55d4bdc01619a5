"""The order in which the days of a correction are written."""

import pytest

from tickhub.correcting import ordering
from tickhub.correcting.ordering import DaysMeet


@pytest.mark.parametrize(
    ("targets", "order"),
    [
        ({1: {1, 2}, 2: {2, 3}, 3: {3, 4}}, [3, 2, 1]),
        ({1: {0, 1}, 2: {1, 2}, 3: {2, 3}}, [1, 2, 3]),
        ({1: {1, 2}, 2: {2}, 3: {2, 3}, 4: {3, 4}}, [2, 1, 3, 4]),
        ({1: {0, 1}, 2: {1, 2, 3}, 3: {3, 4}}, [1, 3, 2]),
        ({}, []),
    ],
    ids=["later", "earlier", "towards each other", "apart", "none"],
)
def test_day_comes_after_those_that_its_ticks_move_to(targets: dict[int, set[int]], order: list[int]) -> None:
    assert ordering.in_order(targets) == order


def test_days_whose_ticks_move_past_each_other_are_named() -> None:
    with pytest.raises(DaysMeet, match="ticks of 2025-03-29 and 2025-03-30 would move past each other"):
        ordering.in_order({20176: {20176, 20177}, 20177: {20176, 20177}})
