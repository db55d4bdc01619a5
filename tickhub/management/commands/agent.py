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
from tickhub.core.errors import UsageError
from tickhub.management.base import TickhubCommand
from tickhub.supervisor import guard, plan

EXIT_USAGE, EXIT_TAKEN = 2, 3


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
        parser.add_argument(
            "--watchdog", action="store_true", help="run the agent as a child, killed and started again if it hangs"
        )
        parser.add_argument(
            "--hung-after", type=float, default=40.0, metavar="SECONDS", help="with --watchdog: silence that is a hang"
        )

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        spec = specs.parse(options["source"])
        where = link.address(
            options["bridge"], options["token_file"], ca_file=options["ca"], allows_plain=options["insecure"]
        )
        stop: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _frame: stop.append(received))
        if options["watchdog"]:
            sys.exit(self._guard(options, stop))
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

    def _guard(self, options: dict[str, Any], stop: list[int]) -> int:  # Any: Django's signature
        """Run the same command as a child, without the watchdog."""
        if options["hung_after"] <= 0:
            raise UsageError(f"--hung-after {options['hung_after']:g}: expected seconds above 0")
        argv = [sys.executable, plan.MANAGE, "agent"]
        named = ("source", "bridge", "token_file", "ca", "data_dir")
        argv += [f"--{name.replace('_', '-')}={options[name]}" for name in named if options[name] is not None]
        argv += [f"--{name.replace('_', '-')}" for name in ("insecure", "until_drained") if options[name]]
        return guard.run(
            argv,
            hung_after_s=options["hung_after"],
            should_stop=lambda: bool(stop),
            tell=lambda line: self.stderr.write(line),
            name="agent",
            # Played to the end or told to stop, refused for good, or the source is another's.
            final_codes=(0, EXIT_USAGE, EXIT_TAKEN),
        )
