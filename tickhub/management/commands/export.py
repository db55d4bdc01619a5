"""manage.py export: ticks for people, and for anyone who wants to check us."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from tickhub import exporting
from tickhub.management import periods
from tickhub.management.base import TickhubCommand
from tickhub.reference import queries as reference


class Command(TickhubCommand):
    help = (
        "Write a symbol's stored ticks to an .npz file with array 'ticks' in the 60-byte MT5 record, in the "
        "terminal's clock and key order. Read it with numpy.load(FILE)['ticks']."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--symbol", required=True, help="the source's own symbol")
        parser.add_argument("--source", metavar="NAME", help="needed where several sources hold the symbol")
        periods.add_arguments(parser)
        parser.add_argument("--quarantined", action="store_true", help="add the ticks held in quarantine")
        parser.add_argument("--out", required=True, type=Path, metavar="X.npz")
        parser.add_argument("--json", action="store_true", help='write {"ticks": n, "out": …} as the last line')

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        from_msc, to_msc = periods.period(options)
        feed = reference.one_feed(symbol=options["symbol"], source=options["source"])
        count = exporting.export(
            feed=feed,
            from_msc=from_msc,
            to_msc=to_msc,
            with_quarantined=options["quarantined"],
            out=options["out"],
        )
        self.stdout.write(f"{count:,} ticks of {feed} written to {options['out']}")
        if options["json"]:
            self.print_json({"ticks": count, "out": str(options["out"])})
