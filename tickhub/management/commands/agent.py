"""manage.py agent: captures on another machine, and sends what is new to the bridge."""

import signal
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from ingest.agent import link, running
from ingest.agent.conversation import Way
from ingest.agent.running import SourceTaken
from ingest.sources import spec as specs
from ingest.wire import limits
from tickhub.management.base import TickhubCommand

EXIT_TAKEN = 3


class Command(TickhubCommand):
    help = (
        "Poll a source on this machine and send its ticks to the bridge of another, until Ctrl-C or SIGTERM. It needs "
        "neither PostgreSQL nor Redis and keeps nothing: the bridge says where to go on. Exit code 3: another agent "
        "captures this source."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--source", required=True, metavar="SPEC", help="mt5:NAME, sim:?symbols=…, replay:PATH?…")
        parser.add_argument("--bridge", required=True, metavar="URL", help="wss://HOST, or ws://127.0.0.1:8001")
        parser.add_argument("--token-file", required=True, type=Path, metavar="F", help="file that holds the token")
        parser.add_argument("--ca", type=Path, metavar="FILE", help="certificates to trust instead of the system's")
        parser.add_argument("--insecure", action="store_true", help="allow ws:// to another machine (in a tunnel)")
        parser.add_argument("--until-drained", action="store_true", help="end when the recording is played")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        spec = specs.parse(options["source"])
        where = link.address(
            options["bridge"], options["token_file"], ca_file=options["ca"], allows_plain=options["insecure"]
        )
        stop: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _frame: stop.append(received))
        way = Way(
            interval_s=settings.POLL_INTERVAL_MS / 1000,
            page_ticks=min(settings.PAGE_TICKS, limits.FRAME_TICKS),
            until_drained=options["until_drained"],
            should_stop=lambda: bool(stop),
        )
        try:
            running.run(spec, where, way)
        except SourceTaken as error:
            self.stderr.write(f"error: {error}")
            sys.exit(EXIT_TAKEN)
