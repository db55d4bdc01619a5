"""Planted faults are found where they were planted, and nowhere else."""

import numpy as np

from ingest.sources.market import Market
from tests.builders import NOON_MSC, make_facts
from tickhub import launch
from tickhub.bench import planting, quality
from tickhub.core.flags import Flag
from tickhub.core.ticks import Ticks


def market(seconds: int) -> Ticks:
    return Market(symbol="EURUSD", symbols=("EURUSD",), rate=500, seed=3).ticks_between(
        NOON_MSC, NOON_MSC + seconds * 1_000
    )


def test_every_kind_of_fault_is_found_and_nothing_else_marked() -> None:
    found = quality.found_of(market(60), make_facts(), seed=5)

    assert {name for name, one in found.items() if one["precision"] < 0.99 or one["recall"] < 0.99} == set()
    assert {name for name, one in found.items() if one["planted"] < 50} == set()


def test_places_follow_from_the_seed_and_the_clean_series_stays_as_it_is() -> None:
    ticks = market(10)
    before = ticks.tobytes()

    first, again, other = (planting.plant(ticks, digits=5, count=10, seed=seed) for seed in (1, 1, 2))

    assert ticks.tobytes() == before
    assert all(a.ticks.tobytes() == b.ticks.tobytes() for a, b in zip(first, again, strict=True))
    assert first[0].expected.tolist() != other[0].expected.tolist()


def test_a_planted_fault_is_what_its_flag_says() -> None:
    ticks = market(10)
    kinds = {planted.flag: planted for planted in planting.plant(ticks, digits=5, count=3, seed=1)}

    crossed, grid = kinds[Flag.CROSSED], kinds[Flag.OFF_GRID]
    assert (crossed.ticks["bid"][crossed.expected] > crossed.ticks["ask"][crossed.expected]).all()
    off = grid.ticks["ask"][grid.expected] - ticks["ask"][grid.expected]
    assert np.allclose(off, 0.000004, atol=1e-9)


def test_the_bench_of_quality_needs_no_server() -> None:
    assert not launch.needs_servers("bench", ["manage.py", "bench", "quality", "--json"])
    assert launch.needs_servers("bench", ["manage.py", "bench", "latency"])
