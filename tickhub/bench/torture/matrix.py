"""The matrix: many runs, each with the schedule of its own seed, on one stage as far as their faults leave it."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tickhub.bench.torture import faults, material, running, schedule, stage, ways
from tickhub.bench.torture.faults import Kind
from tickhub.bench.torture.running import Outcome
from tickhub.bench.torture.stage import Stage
from tickhub.core import clock
from tickhub.core.errors import UsageError

# A world so old is replaced: leases, partitions and incidents of many runs are not what is tried here.
_RUNS_OF_A_WORLD = 25


@dataclass(slots=True)
class Report:
    """What all runs showed."""

    seed: int
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    # Kinds that cannot be tried here, with the reason.
    skipped: dict[str, str] = field(default_factory=dict)
    folder: str | None = None

    @property
    def is_green(self) -> bool:
        """Whether every run was."""
        return all(outcome.is_green for outcome in self.outcomes)

    def facts(self) -> dict[str, object]:
        """Return the report as JSON takes it; what could not be compared makes a total unknown."""
        met = sum((outcome.met for outcome in self.outcomes), Counter[str]())
        missed = sum((outcome.missed for outcome in self.outcomes), Counter[str]())
        lost, twice = [o.lost for o in self.outcomes], [o.stored_twice for o in self.outcomes]
        return {
            "bench": "capture-torture",
            "input": "recordings" if material.is_real() else "generated",
            "seed": self.seed,
            "runs": len(self.outcomes),
            "lost": None if None in lost else sum(filter(None, lost)),
            "stored_twice": None if None in twice else sum(filter(None, twice)),
            "ticks": sum(outcome.ticks for outcome in self.outcomes),
            "by_fault": dict(sorted(met.items())),
            "missed": dict(sorted(missed.items())),
            "skipped": self.skipped,
            "by_recording": dict(sorted(Counter(o.schedule.group for o in self.outcomes).items())),
            "seeds": [outcome.schedule.seed for outcome in self.outcomes],
            "failed": [outcome.facts() for outcome in self.outcomes if not outcome.is_green],
            "seconds": round(self.seconds, 1),
            "logs": self.folder,
        }


def run(*, runs: int, seed: int, only: Sequence[str], way: str | None, tell: Callable[[str], object]) -> Report:
    """Run the schedules of a seed, one after another; folders of runs that are not green are kept.

    :raises UsageError: if no such fault is known, or none can be tried here
    """
    unknown = sorted(set(only) - set(faults.BY_NAME))
    if unknown:
        raise UsageError(f"--fault {', '.join(unknown)}: expected of {', '.join(faults.BY_NAME)}")
    base = Path(tempfile.mkdtemp(prefix="tickhub-torture-", dir="/tmp"))
    # The servers may run as another user.
    base.chmod(0o711)
    begun_s = clock.monotonic_s()
    report = Report(seed)
    try:
        _run_all(base, report, runs=runs, only=only, way=way, tell=tell)
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(base, ignore_errors=True)
        raise
    report.seconds = clock.monotonic_s() - begun_s
    if report.is_green:
        shutil.rmtree(base)
    else:
        shutil.rmtree(base / "pristine")
        report.folder = str(base)
    return report


def _run_all(
    base: Path, report: Report, *, runs: int, only: Sequence[str], way: str | None, tell: Callable[[str], object]
) -> None:
    with stage.opened(base) as opened:
        kinds = {name: _kinds(name, only, opened.disk_problem, report) for name in ([way] if way else ways.WAYS)}
        kinds = {name: found for name, found in kinds.items() if found}
        if not kinds:
            raise UsageError(f"none of the faults can be tried here: {report.skipped}")
        for number in range(runs):
            outcome = _run(opened, number, schedule.seed_of(report.seed, number), kinds, tell)
            report.outcomes.append(outcome)
            tell(_line(number, runs, outcome))


def _kinds(way: str, only: Sequence[str], disk_problem: str | None, report: Report) -> list[Kind]:
    wanted = [kind for kind in faults.of_way(way) if not only or kind.name in only]
    if disk_problem is None:
        return wanted
    report.skipped |= {kind.name: disk_problem for kind in wanted if kind.fills_disk}
    return [kind for kind in wanted if not kind.fills_disk]


def _run(opened: Stage, number: int, seed: int, kinds: dict[str, list[Kind]], tell: Callable[[str], object]) -> Outcome:
    planned = schedule.draw(seed, kinds=kinds, groups=material.groups())
    tell(f"{number + 1}: seed {seed}: {planned.story()}")
    if opened.is_worn or number % _RUNS_OF_A_WORLD == 0:
        opened.renew()
    outcome = running.run(opened, planned)
    if not outcome.is_green:
        # What it left behind must not fail the next one.
        opened.close()
    return outcome


def _line(number: int, runs: int, outcome: Outcome) -> str:
    verdict = "green" if outcome.is_green else f"NOT GREEN: {'; '.join(outcome.problems)}; logs {outcome.logs}"
    return f"{number + 1}/{runs}: {outcome.ticks:,} ticks, {outcome.seconds:.1f} s, {verdict}"
