"""manage.py up: the whole system on one machine."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from tickhub import launch
from tickhub.core.errors import UsageError
from tickhub.embedded.folder import DataFolder
from tickhub.management import reports
from tickhub.management.base import TickhubCommand
from tickhub.supervisor import running
from tickhub.supervisor.console import Progress
from tickhub.supervisor.running import DEFAULT_SOURCE, Request


class Command(TickhubCommand):
    help = (
        "Run the whole system on this machine: PostgreSQL and Valkey (unless DATABASE_URL / REDIS_URL are set), "
        "web, bridge, worker, notifier, beat, and a poller for each source. Every end stops polling, settles the last "
        "hour, lets the workers drain, and prints the reconciliation; exit code 1 if anything is lost, stored twice "
        "or failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--source",
            action="append",
            metavar="SPEC",
            help=f"repeatable; sim:?rate=…, replay:PATH?speed=max, dukascopy:PATH, … (default {DEFAULT_SOURCE})",
        )
        parser.add_argument("--http", default="127.0.0.1:8000", metavar="HOST:PORT", help="address of the web")
        parser.add_argument("--bridge", default="127.0.0.1:8001", metavar="HOST:PORT", help="where agents connect")
        parser.add_argument(
            "--for", dest="for_s", type=float, metavar="SECONDS", help="end so long after the first poll"
        )
        parser.add_argument(
            "--until-drained", action="store_true", help="end when every recording is played and stored"
        )
        parser.add_argument("--json", action="store_true", help="write the figures as the last line of stdout")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        if options["for_s"] is not None and options["for_s"] <= 0:
            raise UsageError(f"--for {options['for_s']}: expected seconds above 0")
        request = Request(
            sources=tuple(options["source"] or [DEFAULT_SOURCE]),
            http=options["http"],
            bridge=options["bridge"],
            for_s=options["for_s"],
            until_drained=options["until_drained"],
        )
        folder = DataFolder().path
        with Progress(sys.stderr if options["json"] else sys.stdout) as progress:
            report, figures = running.run(
                request, servers=launch.running_servers(), logs=folder / "logs", progress=progress
            )
        reports.write(report, self.stdout.write)
        if options["json"]:
            self.print_json(report.as_json() | figures)
        if not report.is_clean:
            sys.exit(1)
