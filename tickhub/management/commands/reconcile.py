"""manage.py reconcile: proves that nothing is missing."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from tickhub import reconcile
from tickhub.management import periods, reports
from tickhub.management.base import TickhubCommand


class Command(TickhubCommand):
    help = (
        "Prove count and digest at every station, from the source to the tick table. Exit code 1 on anything lost, "
        "stored twice, failed or different, and a line for each. --deep reads the data again instead of adding up "
        "what each batch recorded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--deep", action="store_true", help="read the tick table, quarantine and failed bytes again"
        )
        parser.add_argument("--source", metavar="NAME", help="one source (default: all)")
        parser.add_argument("--instrument", metavar="CODE", help="one instrument (default: all)")
        periods.add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="write the report as the last line")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        from_msc, to_msc = periods.period(options)
        scope = reconcile.Scope(options["source"], options["instrument"], from_msc, to_msc, options["deep"])
        report = reconcile.reconcile(scope, progress=lambda line: self.stderr.write(line))
        reports.write(report, self.stdout.write)
        if options["json"]:
            self.print_json(report.as_json())
        if not report.is_clean:
            sys.exit(1)
