"""manage.py bench: measures, against the ceiling of the same machine, in one run."""

import json
import random
import sys
from typing import Any

from django.core.management.base import CommandParser

from tickhub.bench import latency, pipeline, quality
from tickhub.bench.system import BenchFailed
from tickhub.bench.torture import matrix, ways
from tickhub.core.errors import UsageError
from tickhub.management.base import TickhubCommand


class Command(TickhubCommand):
    help = (
        "Measure the real processes on throw-away databases of the running server; nobody's ticks are touched. "
        "pipeline: a backlog of 5 M ticks beside the ceiling of the write path. latency: from poll and from "
        "visibility to commit at 50, 1,000 and 10,000 ticks/s. Takes minutes; run nothing else meanwhile. "
        "quality: the CPU time of all checks, and how many planted faults they find; needs no server. "
        "capture-torture: faults at random moments against servers of its own, and what is exported after each run "
        "compared with the recording; exit code 1 if a run lost a tick, stored one twice or did not drain."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", choices=["pipeline", "latency", "quality", "capture-torture"])
        parser.add_argument("--rounds", type=int, default=3, help="rounds of pipeline and quality (default 3)")
        parser.add_argument("--seconds", type=float, default=60.0, help="measured time of each rate (default 60)")
        parser.add_argument("--rates", default="50,1000,10000", help="ticks/s, comma-separated (default 50,1000,10000)")
        parser.add_argument("--runs", type=int, default=20, help="runs of capture-torture (default 20)")
        parser.add_argument(
            "--seed", type=int, help="of the first run, each run tells its own; of planted faults (default: a new one)"
        )
        parser.add_argument("--fault", action="append", default=[], metavar="NAME", help="only these, repeatable")
        parser.add_argument("--way", choices=sorted(ways.WAYS), help="how ticks come in (default: drawn)")
        parser.add_argument("--json", action="store_true", help="write the report as the last line")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        if options["name"] == "capture-torture":
            self._torture(options)
            return
        try:
            if options["name"] == "quality":
                report = quality.run(rounds=options["rounds"], seed=_seed(options), tell=self.stderr.write)
            elif options["name"] == "pipeline":
                report = pipeline.run(rounds=options["rounds"], tell=self.stderr.write)
            else:
                rates = tuple(int(rate) for rate in options["rates"].split(","))
                report = latency.run(rates=rates, measured_s=options["seconds"], tell=self.stderr.write)
        except (BenchFailed, ValueError) as error:
            raise UsageError(str(error)) from error
        self._print(report, as_json=options["json"])

    def _torture(self, options: dict[str, Any]) -> None:  # Any: Django's signature
        if options["runs"] < 1:
            raise UsageError(f"--runs {options['runs']}: expected at least 1")
        seed = _seed(options)
        report = matrix.run(
            runs=options["runs"], seed=seed, only=options["fault"], way=options["way"], tell=self.stderr.write
        )
        self._print(report.facts(), as_json=options["json"])
        if not report.is_green:
            sys.exit(1)

    def _print(self, report: dict[str, Any], *, as_json: bool) -> None:  # Any: JSON
        if as_json:
            self.print_json(report)
        else:
            self.stdout.write(json.dumps(report, indent=2))


def _seed(options: dict[str, Any]) -> int:  # Any: Django's signature
    """Return the seed given, or a new one."""
    return random.SystemRandom().randrange(1 << 48) if options["seed"] is None else int(options["seed"])
