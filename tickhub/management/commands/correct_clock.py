"""manage.py correct_clock: the broker's clock was not what had been configured."""

import getpass
import socket
from typing import Any

from django.core.management.base import CommandParser

from tickhub.core.errors import UsageError
from tickhub.correcting import correcting
from tickhub.correcting.request import Request
from tickhub.management import periods
from tickhub.management.base import TickhubCommand


class Command(TickhubCommand):
    help = (
        "Correct what is stored where the clock of a source's broker was not what had been configured: ticks, "
        "quarantine and the ledger get the UTC times that RULE gives them, day by day, one transaction each; values "
        "and captured bytes stay as they are. Without --to, RULE is the source's clock from now on. Stop the source's "
        "poller first. A run that was broken off is gone on with by the same command, or with --resume; until then "
        "the source is not captured."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--source", required=True, metavar="NAME", help="the source's name")
        parser.add_argument("--clock", metavar="RULE", help="UTC, +03:00, Europe/Athens, NY+7, …")
        periods.add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="try it on every day and change nothing")
        parser.add_argument("--resume", action="store_true", help="go on with the correction that was broken off")
        parser.add_argument("--json", action="store_true", help="write the figures as the last line")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        if options["resume"] == bool(options["clock"]):
            raise UsageError("correct_clock: give either --clock RULE or --resume")
        if options["resume"] and (options["dry_run"] or options["from_time"] or options["to_time"]):
            raise UsageError("correct_clock: --resume goes on as it was begun, without --from, --to and --dry-run")
        if options["resume"]:
            report = correcting.resume(options["source"], progress=self.stderr.write)
        else:
            report = correcting.correct(self._request(options), is_dry=options["dry_run"], progress=self.stderr.write)
        self._write(report)
        if options["json"]:
            self.print_json(report.as_json())

    def _request(self, options: dict[str, Any]) -> Request:  # Any: the parser's values
        low, high = periods.period(options)
        return Request(
            source=options["source"],
            clock=options["clock"],
            from_msc=None if options["from_time"] is None else low,
            to_msc=None if options["to_time"] is None else high,
            actor=f"{getpass.getuser()}@{socket.gethostname()}",
        )

    def _write(self, report: correcting.Report) -> None:
        row, done = report.correction, report.figures
        verb = "would move" if report.is_dry else "moved"
        self.stdout.write(
            f"{row.source.name}: {row.old_clock} to {row.clock}, {len(row.days)} days: {verb} {done.moved:,} of "
            f"{done.ticks:,} ticks; still held {done.held:,}, released {done.released:,}, held as the clock leaves "
            f"their hour out {done.timeless:,}, in an hour shown twice and "
            f"of either pass {done.ambiguous:,}, with another seq {done.conflicts:,}"
        )
        if not report.is_dry and row.to_msc is None:
            self.stdout.write(f"start its poller with clock={row.clock} from now on (SPEC or sources file)")
