"""manage.py poll: capture only, against a given database."""

import signal
from typing import Any

from django.core.management.base import CommandParser

from tickhub import capturing
from tickhub.capturing import Ending
from tickhub.management.base import TickhubCommand


class Command(TickhubCommand):
    help = (
        "Capture one source into the inbox until Ctrl-C or SIGTERM. Workers judge and store what it captures; "
        "a second poller of the same source waits until the first one's lease has expired."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--source", required=True, metavar="SPEC", help="mt5:NAME, sim:?symbols=…, replay:PATH?…")
        parser.add_argument(
            "--for", dest="for_s", type=float, metavar="SECONDS", help="end so long after the first poll"
        )
        parser.add_argument("--until-drained", action="store_true", help="end when the recording is played")
        parser.add_argument("--origin", type=int, metavar="MSC", help="host time at which a new playback begins")
        parser.add_argument("--json", action="store_true", help='write {"captured_now": n} as the last line')

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        stop: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _frame: stop.append(received))
        captured = capturing.run(
            options["source"],
            ending=Ending(until_drained=options["until_drained"], for_s=options["for_s"]),
            origin_msc=options["origin"],
            should_stop=lambda: bool(stop),
        )
        if options["json"]:
            self.print_json({"captured_now": captured})
