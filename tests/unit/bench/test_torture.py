"""Torture: a schedule follows from its seed alone, and the comparison sees what is missing and what is beyond."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.builders import make_ticks
from tickhub.bench.torture import comparing, faults, schedule, ways
from tickhub.core.ticks import Ticks

ROOT = Path(__file__).resolve().parents[3]
GROUPS = ("a", "b", "c")
KINDS = {"poller": faults.of_way("poller")}


def compared(tmp_path: Path, exported: dict[str, Ticks], recorded: dict[str, Ticks]) -> tuple[int, dict[str, object]]:
    for name, symbols in (("exported", exported), ("recorded", recorded)):
        (tmp_path / name).mkdir()
        for symbol, ticks in symbols.items():
            np.savez(tmp_path / name / f"{symbol}.npz", ticks=ticks)
    command = [sys.executable, "-I", comparing.__file__, str(tmp_path / "exported"), str(tmp_path / "recorded")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_a_schedule_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    one, again, other = (schedule.draw(seed, kinds=KINDS, groups=GROUPS) for seed in (5, 5, 6))

    assert one == again
    assert one != other


def test_the_first_run_has_the_seed_given_so_that_any_run_can_be_repeated_alone() -> None:
    seeds = [schedule.seed_of(41, run) for run in range(50)]

    assert seeds[0] == 41
    assert len(set(seeds)) == 50
    assert schedule.seed_of(seeds[7], 0) == seeds[7]


def test_in_many_schedules_every_kind_of_fault_occurs() -> None:
    drawn = [schedule.draw(schedule.seed_of(1, run), kinds=KINDS, groups=GROUPS) for run in range(300)]

    assert {fault.name for plan in drawn for fault in plan.faults} == {kind.name for kind in faults.of_way("poller")}
    assert {len(plan.faults) for plan in drawn} == {1, 2, 3}


def test_every_way_has_faults_for_what_captures() -> None:
    for way in ways.WAYS:
        assert any(kind.ways == (way,) for kind in faults.of_way(way))


def test_equal_exports_are_equal_in_any_order(tmp_path: Path) -> None:
    ticks = make_ticks([(0, 1.1, 1.2), (0, 1.1, 1.2), (7, 1.3, 1.4)])

    code, found = compared(tmp_path, {"X": ticks[::-1]}, {"X": ticks})

    assert (code, found) == (0, {"X": {"exported": 3, "recorded": 3, "missing": 0, "beyond": 0}})


def test_a_repeat_that_is_missing_and_a_record_that_is_there_twice_are_seen(tmp_path: Path) -> None:
    ticks = make_ticks([(0, 1.1, 1.2), (0, 1.1, 1.2), (7, 1.3, 1.4)])

    code, found = compared(tmp_path, {"X": ticks[[0, 2, 2]]}, {"X": ticks, "Y": ticks[:1]})

    assert code == 1
    assert found == {
        "X": {"exported": 3, "recorded": 3, "missing": 1, "beyond": 1},
        "Y": {"exported": 0, "recorded": 1, "missing": 1, "beyond": 0},
    }


def test_every_fault_is_described() -> None:
    text = (ROOT / "docs" / "torture.md").read_text()

    assert [kind.name for kind in faults.KINDS if f"`{kind.name}`" not in text] == []
