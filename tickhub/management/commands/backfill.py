"""manage.py backfill: reads a stretch of history again and captures what is missing."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from ingest import backfill
from ingest.leases import LeaseHeld
from ingest.models import Backfill
from ingest.sources.spec import AgentSpec
from tickhub import capturing
from tickhub.core import clock
from tickhub.core.errors import UsageError
from tickhub.management import periods
from tickhub.management.base import TickhubCommand
from tickhub.reference import queries as reference


class Command(TickhubCommand):
    help = (
        "Read a period of a feed's history again from its source and capture only what is missing, as late ticks. "
        "Nothing is overwritten: captured ticks that the source no longer shows become an incident with both sides. "
        "A period before the feed began moves its begin back. A running poller of the source does the work; where "
        "there is none, this command does. What cannot be read now stays open for the source's next poller. "
        "Exit code 1 unless it is done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--feed", required=True, metavar="SYMBOL", help="the source's own symbol")
        parser.add_argument("--source", metavar="NAME", help="needed where several sources hold the symbol")
        periods.add_arguments(parser)
        parser.add_argument("--reason", default="asked for by an operator", help="kept with the request")
        parser.add_argument("--wait", type=float, default=600.0, metavar="SECONDS", help="for a running poller (600)")
        parser.add_argument("--json", action="store_true", help="write the figures as the last line")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        feed = reference.one_feed(symbol=options["feed"], source=options["source"])
        if options["from_time"] is None or options["to_time"] is None:
            raise UsageError("backfill: --from and --to are both needed")
        from_msc, to_msc = periods.period(options)
        request_id = backfill.request(feed_id=feed.pk, from_msc=from_msc, to_msc=to_msc, reason=options["reason"])
        wait_s = options["wait"]
        try:
            if feed.source.scheme == AgentSpec.scheme:
                self.stderr.write(
                    f"request {request_id} is fulfilled when the agent of {feed.source.name} is connected"
                )
            else:
                capturing.backfill_now(feed.source.name)
                wait_s = 0.0
        except LeaseHeld:
            self.stderr.write(f"{feed.source.name} is being polled; its poller fulfils request {request_id}")
        asked = self._wait(request_id, wait_s)
        self.stdout.write(
            f"{feed} {clock.iso(from_msc)} to {clock.iso(to_msc)}: {asked.state}, captured {asked.captured:,}, "
            f"no longer shown {asked.gone:,}" + (f": {asked.failure}" if asked.failure else "")
        )
        if options["json"]:
            self.print_json(
                {
                    "request": asked.pk,
                    "state": asked.state,
                    "captured": asked.captured,
                    "gone": asked.gone,
                    "failure": asked.failure,
                }
            )
        if asked.state != Backfill.State.DONE:
            sys.exit(1)

    def _wait(self, request_id: int, wait_s: float) -> Backfill:
        until_s = clock.monotonic_s() + wait_s
        while True:
            asked = Backfill.objects.get(pk=request_id)
            if asked.state != Backfill.State.OPEN or clock.monotonic_s() > until_s:
                return asked
            clock.sleep(0.2)
