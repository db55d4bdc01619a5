"""manage.py poll: capture only, against a given database."""

import signal
import sys
from typing import Any

from django.core.management.base import CommandParser

from ingest import heartbeat
from ingest.leases import LeaseLost
from tickhub import capturing
from tickhub.checks import durability_faults
from tickhub.core.errors import PermanentError, UsageError
from tickhub.management.base import TickhubCommand
from tickhub.polling import Ending
from tickhub.supervisor import guard, plan

# Beside 0 and 2: what a supervisor must tell apart.
EXIT_LEASE_LOST, EXIT_PERMANENT = 3, 4


class Command(TickhubCommand):
    help = (
        "Capture one source into the inbox until Ctrl-C or SIGTERM. Workers judge and store what it captures; "
        "a second poller of the same source waits until the first one's lease has expired. Exit code 3: another "
        "poller took the source over; 4: the source cannot be captured further, for the reason told."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--source", required=True, metavar="SPEC", help="mt5:NAME, sim:?symbols=…, replay:PATH?…")
        parser.add_argument(
            "--for", dest="for_s", type=float, metavar="SECONDS", help="end so long after the first poll"
        )
        parser.add_argument("--until-drained", action="store_true", help="end when the recording is played")
        parser.add_argument("--origin", type=int, metavar="MSC", help="host time at which a new playback begins")
        parser.add_argument(
            "--watchdog", action="store_true", help="run the poller as a child, killed and started again if it hangs"
        )
        parser.add_argument(
            "--hung-after",
            type=float,
            default=heartbeat.HUNG_AFTER_S,
            metavar="SECONDS",
            help="with --watchdog: silence that is a hang",
        )
        parser.add_argument("--json", action="store_true", help='write {"captured_now": n} as the last line')

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        faults = durability_faults()
        if faults:
            raise UsageError("PostgreSQL would lose ticks: " + "; ".join(faults))
        stop: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _frame: stop.append(received))
        if options["watchdog"]:
            sys.exit(self._guard(options, stop))
        try:
            captured = capturing.run(
                options["source"],
                ending=Ending(until_drained=options["until_drained"], for_s=options["for_s"]),
                origin_msc=options["origin"],
                should_stop=lambda: bool(stop),
            )
        except LeaseLost as error:
            self.stderr.write(f"error: {error}; another poller captures this source now")
            sys.exit(EXIT_LEASE_LOST)
        except PermanentError as error:
            self.stderr.write(f"error: {error}")
            sys.exit(EXIT_PERMANENT)
        if options["json"]:
            self.print_json({"captured_now": captured})

    def _guard(self, options: dict[str, Any], stop: list[int]) -> int:  # Any: Django's signature
        """Run the same command as a child, without the watchdog."""
        if options["hung_after"] <= 0:
            raise UsageError(f"--hung-after {options['hung_after']:g}: expected seconds above 0")
        argv = [sys.executable, plan.MANAGE, "poll", "--source", options["source"]]
        named = {"--for": options["for_s"], "--origin": options["origin"], "--data-dir": options["data_dir"]}
        argv += [f"{name}={value}" for name, value in named.items() if value is not None]
        argv += [f"--{name.replace('_', '-')}" for name in ("until_drained", "json") if options[name]]
        return guard.run(
            argv,
            hung_after_s=options["hung_after"],
            should_stop=lambda: bool(stop),
            tell=lambda line: self.stderr.write(line),
        )
