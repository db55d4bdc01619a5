"""manage.py fetch: mirrors a history provider's files."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from ingest.fetching import mirror, plan
from ingest.fetching.download import Policy
from ingest.fetching.mirror import Order, Outcome
from tickhub.core import clock
from tickhub.core.errors import UsageError
from tickhub.management import periods
from tickhub.management.base import TickhubCommand
from tickhub.management.counting import Counting

_LINES_MAX = 20


class Command(TickhubCommand):
    help = (
        "Mirror a history provider's files from a server into a folder that its SPEC reads. Files that are there are "
        "left alone, so a second run goes on where the first one ended. Exit code 1 if a file could not be fetched; "
        "what the server does not have (404) is counted, no failure. Needs no database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("provider", choices=sorted(plan.PROVIDERS))
        parser.add_argument("--base-url", required=True, metavar="URL", help="the folder of symbols or years")
        parser.add_argument("--symbol", required=True, action="append", help="repeatable; EURUSD or EUR/USD")
        periods.add_arguments(parser)
        parser.add_argument("--into", required=True, type=Path, metavar="FOLDER")
        parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="default 30")
        parser.add_argument("--retries", type=int, default=5, help="further tries of one file (default 5)")
        parser.add_argument(
            "--retry-wait",
            type=float,
            default=0.5,
            metavar="SECONDS",
            help="longest first pause, doubled with each try (default 0.5)",
        )
        parser.add_argument("--json", action="store_true", help="write the figures as the last line")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        if options["from_time"] is None or options["to_time"] is None:
            raise UsageError("--from and --to: both are needed")
        from_msc, to_msc = periods.period(options)
        if options["timeout"] <= 0 or options["retries"] < 0 or options["retry_wait"] < 0:
            raise UsageError("--timeout must be above 0, --retries and --retry-wait not below")
        order = Order(
            provider=options["provider"],
            base_url=options["base_url"],
            symbols=options["symbol"],
            from_msc=from_msc,
            to_msc=to_msc,
            into=options["into"],
            policy=Policy(options["timeout"], options["retries"], options["retry_wait"]),
        )
        with Counting(sys.stderr) as counting:
            outcome = mirror.run(order, progress=lambda o: counting.show(o.wanted, _line(o)), now_msc=clock.now_msc())
        self._report(outcome, as_json=options["json"])
        if not outcome.is_whole:
            sys.exit(1)

    def _report(self, outcome: Outcome, *, as_json: bool) -> None:
        for failure in outcome.failures[:_LINES_MAX]:
            self.stderr.write(f"failed: {failure}")
        if outcome.not_tried:
            self.stderr.write(f"given up: {outcome.not_tried} files were not tried, run it again later")
        self.stdout.write(f"{outcome.wanted} files: {_line(outcome)}, {outcome.size_bytes:,} bytes")
        if as_json:
            self.print_json(outcome.as_json())


def _line(outcome: Outcome) -> str:
    return (
        f"fetched {outcome.fetched}, present {outcome.present}, missing {outcome.missing},"
        f" not over {outcome.not_over}, failed {outcome.failed}, retries {outcome.retries}"
    )
