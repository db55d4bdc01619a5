"""manage.py certify: issues the certificates that are due, and writes them out."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from quality import certificates
from tickhub import certifying
from tickhub.core.errors import UsageError
from tickhub.management import periods
from tickhub.management.base import TickhubCommand
from tickhub.reference import queries as reference


class Command(TickhubCommand):
    help = (
        "Issue the certificates that are due: for each whole past hour of a feed what every station counts, signed and "
        "linked to the one before. Beat does the same every minute. --out writes certificates for "
        "verify_certificate. Exit code 1 if one of the period is not whole."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--symbol", help="one feed, by its source's own symbol (default: all)")
        parser.add_argument("--source", metavar="NAME", help="its source, where several hold the symbol")
        parser.add_argument(
            "--everything",
            action="store_true",
            help="read all that was ever certified again, not only that about which something has changed",
        )
        parser.add_argument(
            "--out", type=Path, metavar="FILE", help="write those of the period, and those made between them"
        )
        periods.add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="write the report as the last line")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        from_msc, to_msc = periods.period(options)
        feeds = list(reference.feeds(source=options["source"], symbol=options["symbol"]))
        if not feeds and (options["symbol"] or options["source"]):
            raise UsageError(f"no feed of {options['symbol'] or 'any symbol'} at {options['source'] or 'any source'}")
        made = certifying.issue(
            feeds=feeds, everything=options["everything"], tell=lambda line: self.stderr.write(line)
        )
        found = [certificates.of_period(feed_id=feed.pk, from_msc=from_msc, to_msc=to_msc) for feed in feeds]
        documents = [document for series in found for document in series.documents]
        not_whole = sum(series.not_whole for series in found)
        own = sum(series.own for series in found)
        self.stdout.write(f"{made} certificates made; {own} of the period, {not_whole} not whole")
        if options["out"] is not None:
            _write(options["out"], documents)
        if options["json"]:
            self.print_json({"made": made, "certificates": own, "not_whole": not_whole})
        if not_whole:
            sys.exit(1)


def _write(path: Path, documents: list[str]) -> None:
    try:
        path.write_text("".join(f"{document}\n" for document in documents), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {path}: {error.strerror}") from error
