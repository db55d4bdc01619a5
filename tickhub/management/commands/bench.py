"""manage.py bench: measures, against the ceiling of the same machine, in one run."""

import json
from typing import Any

from django.core.management.base import CommandParser

from tickhub.bench import latency, pipeline
from tickhub.bench.system import BenchFailed
from tickhub.core.errors import UsageError
from tickhub.management.base import TickhubCommand


class Command(TickhubCommand):
    help = (
        "Measure the real processes on throw-away databases of the running server; nobody's ticks are touched. "
        "pipeline: a backlog of 5 M ticks beside the ceiling of the write path. latency: from poll and from "
        "visibility to commit at 50, 1,000 and 10,000 ticks/s. Takes minutes; run nothing else meanwhile."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", choices=["pipeline", "latency"])
        parser.add_argument("--rounds", type=int, default=3, help="rounds of the pipeline (default 3)")
        parser.add_argument("--seconds", type=float, default=60.0, help="measured time of each rate (default 60)")
        parser.add_argument("--rates", default="50,1000,10000", help="ticks/s, comma-separated (default 50,1000,10000)")
        parser.add_argument("--json", action="store_true", help="write the report as the last line")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        try:
            if options["name"] == "pipeline":
                report = pipeline.run(rounds=options["rounds"], tell=self.stderr.write)
            else:
                rates = tuple(int(rate) for rate in options["rates"].split(","))
                report = latency.run(rates=rates, measured_s=options["seconds"], tell=self.stderr.write)
        except (BenchFailed, ValueError) as error:
            raise UsageError(str(error)) from error
        if options["json"]:
            self.print_json(report)
        else:
            self.stdout.write(json.dumps(report, indent=2))
