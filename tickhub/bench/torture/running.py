"""One run: plays a slice while its faults hit, lets the system recover and drain, and has the export compared."""

import heapq
import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tickhub.bench.torture import comparing, faults, material, ways
from tickhub.bench.torture.faults import Missed, Steps
from tickhub.bench.torture.schedule import Planned, Schedule
from tickhub.bench.torture.stage import NotReady, Stage
from tickhub.bench.torture.ways import Play
from tickhub.core import clock
from tickhub.core.errors import UsageError

# What a process needs from its start to its first poll.
_LEAD_S = 0.6
_DRAIN_S = 90.0
_STEP_S = 0.02
COMPARING = comparing.__file__


@dataclass(slots=True)
class Outcome:
    """What became of a run; ``lost`` and ``stored_twice`` are None where nothing could be compared."""

    schedule: Schedule
    ticks: int
    lost: int | None = None
    stored_twice: int | None = None
    met: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    logs: str | None = None

    @property
    def is_green(self) -> bool:
        """Whether it drained with nothing lost and nothing stored twice."""
        return not self.problems and self.lost == 0 and self.stored_twice == 0

    def facts(self) -> dict[str, object]:
        """Return what a person needs to look into it, as JSON takes it."""
        return {
            "seed": self.schedule.seed,
            "lost": self.lost,
            "stored_twice": self.stored_twice,
            "problems": self.problems,
            "schedule": self.schedule.facts(),
            "logs": self.logs,
        }


@dataclass(order=True, slots=True)
class _Due:
    """The next step of a fault."""

    at_s: float
    number: int
    planned: Planned = field(compare=False)
    steps: Steps | None = field(default=None, compare=False)


def folder_of(stage: Stage, schedule: Schedule) -> Path:
    """Return where a run's recording, export and logs lie."""
    return stage.base / "runs" / str(schedule.seed)


def run(stage: Stage, schedule: Schedule) -> Outcome:
    """Run a schedule; its folder with logs is kept where it is not green."""
    begun_s = clock.monotonic_s()
    folder = folder_of(stage, schedule)
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("recorded", "exported"):
        (folder / name).mkdir(parents=True)
    played = material.cut(schedule.group, place=schedule.place, rows=schedule.rows)
    played.write(folder / "recorded")
    outcome = Outcome(schedule, played.count)
    source = f"run-{schedule.seed}-{clock.now_msc()}"
    speed = played.span_ms / 1000 / schedule.played_s
    spec = f"replay:{folder / 'recorded'}?speed={speed:.6f}&name={source}"
    try:
        stage.wait_ready()
        origin_msc = clock.now_msc() + int(_LEAD_S * 1000)
        stage.begin(ways.WAYS[schedule.way], Play(source, spec, origin_msc, folder))
        _play(stage, outcome, clock.monotonic_s() + _LEAD_S)
        _compare(stage, outcome, source, sorted(played.ticks))
    except NotReady as error:
        outcome.problems.append(str(error))
    finally:
        stage.end_capture()
    outcome.seconds = round(clock.monotonic_s() - begun_s, 2)
    if outcome.is_green:
        shutil.rmtree(folder)
    else:
        outcome.logs = str(folder)
        (folder / "outcome.json").write_text(json.dumps(outcome.facts(), indent=2))
    return outcome


def _play(stage: Stage, outcome: Outcome, origin_s: float) -> None:
    """Let the faults act at their moments, and wait until all is drained."""
    agenda = [_Due(origin_s + p.at_s, number, p) for number, p in enumerate(outcome.schedule.faults)]
    heapq.heapify(agenda)
    deadline_s = origin_s + outcome.schedule.played_s + _DRAIN_S
    while agenda or not stage.is_drained:
        now_s = clock.monotonic_s()
        while agenda and agenda[0].at_s <= now_s:
            _act(stage, outcome, agenda, heapq.heappop(agenda))
        stage.keep_alive()
        if stage.capture is not None and stage.capture.problem and not agenda:
            outcome.problems.append(stage.capture.problem)
            return
        if now_s > deadline_s:
            outcome.problems.append(f"not drained within {_DRAIN_S:.0f} s: {stage.story()}")
            return
        clock.sleep(_STEP_S)


def _act(stage: Stage, outcome: Outcome, agenda: list[_Due], due: _Due) -> None:
    """Take one step of a fault, and put its next one on the agenda."""
    name = due.planned.name
    is_first = due.steps is None
    steps = faults.BY_NAME[name].act(stage, due.planned.settings) if due.steps is None else due.steps
    try:
        wait_s = next(steps, None)
    except Missed:
        outcome.missed[name] += 1
        outcome.met[name] -= not is_first
        return
    outcome.met[name] += is_first
    if wait_s is not None:
        heapq.heappush(agenda, _Due(clock.monotonic_s() + wait_s, due.number, due.planned, steps))


def _compare(stage: Stage, outcome: Outcome, source: str, symbols: list[str]) -> None:
    """Export every symbol, and compare with what was recorded by a script that knows nothing of the product."""
    folder = folder_of(stage, outcome.schedule)
    stage.wait_ready()
    for symbol in symbols:
        try:
            stage.export(symbol, source=source, out=folder / "exported" / f"{symbol}.npz")
        except UsageError as error:
            outcome.problems.append(f"export of {symbol}: {error}")
    command = [sys.executable, "-I", COMPARING, str(folder / "exported"), str(folder / "recorded")]
    compared = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if not compared.stdout:
        outcome.problems.append(f"not compared: {compared.stderr.strip()}")
        return
    found: dict[str, dict[str, int]] = json.loads(compared.stdout)
    outcome.lost = sum(counts["missing"] for counts in found.values())
    outcome.stored_twice = sum(counts["beyond"] for counts in found.values())
    outcome.problems += [f"{symbol}: {counts}" for symbol, counts in found.items() if _differs(counts)]
    failed = stage.failed_batches()
    if failed:
        outcome.problems.append(f"{failed} failed batches")


def _differs(counts: dict[str, int]) -> bool:
    return bool(counts["missing"] or counts["beyond"])
