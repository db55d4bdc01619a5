"""manage.py quality_report: what the checks find in recordings."""

import sys
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from ingest.sources import recording
from ingest.sources import spec as specs
from ingest.sources.recording import Recording
from ingest.sources.spec import ReplaySpec
from quality import recordings
from quality.inspection import Limits
from tickhub.core.errors import UsageError
from tickhub.management.base import TickhubCommand
from tickhub.management.counting import Counting
from tickhub.reference.queries import FeedFacts


class Command(TickhubCommand):
    help = (
        "Judge recordings in memory by the default thresholds and count the flags of each; nothing is stored. Rows are "
        "taken in the order of the file: one that is earlier than a row before it is LATE. Needs no database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--source", required=True, action="append", metavar="SPEC", help="replay:PATH, a file or folder; repeatable"
        )
        parser.add_argument("--rates", action="store_true", help="tell flagged ticks per million too")
        parser.add_argument("--json", action="store_true", help="write one object for each recording, a line each")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        loaded = [one for text in options["source"] for one in self._load(text)]
        total = sum(len(one.ticks) for one in loaded)
        reports, before = [], 0
        with Counting(sys.stderr) as counting:
            for one in loaded:

                def show(done: int, one: Recording = one, before: int = before) -> None:
                    counting.show(total, f"{before + done:,} ticks judged, {one.path.name}")

                reports.append(_report(one, with_rates=options["rates"], progress=show))
                before += len(one.ticks)
        for report in reports:
            if options["json"]:
                self.print_json(report)
            else:
                self.stdout.write(_line(report))

    def _load(self, text: str) -> list[Recording]:
        spec = specs.parse(text)
        if not isinstance(spec, ReplaySpec):
            raise UsageError(f"source {text}: expected replay:PATH, a recording or a folder of them")
        if not spec.path.is_dir():
            return [recording.load(spec.path, spec.symbol)]
        if spec.symbol is not None:
            raise UsageError(f"source {text}: symbol={spec.symbol} is for a single file, {spec.path} is a folder")
        loaded, skipped = recording.load_folder(spec.path)
        for entry in skipped:
            self.stderr.write(f"skipped {entry}")
        return loaded


def _report(one: Recording, *, with_rates: bool, progress: Callable[[int], object]) -> dict[str, Any]:  # Any: JSON
    facts = FeedFacts(
        feed_id=1,
        digits=recording.digits(one.ticks),
        is_quoted=recording.is_quoted(one.ticks),
        negative_prices=False,
    )
    limits = Limits(settings.EARLIEST_MSC, settings.FUTURE_TOLERANCE_MS)
    found = recordings.judge(one.ticks, facts=facts, limits=limits, progress=progress)
    report: dict[str, Any] = {  # Any: JSON
        "recording": one.path.name,
        "symbol": one.symbol,
        "digits": facts.digits,
        "price_basis": "QUOTE" if facts.is_quoted else "LAST",
        "rows": found.rows,
        "flags": found.flags,
    }
    return report | {"per_million": found.rates()} if with_rates else report


def _line(report: dict[str, Any]) -> str:  # Any: JSON
    rates = report.get("per_million", {})
    told = [
        f"{name} {count:,}" + (f" ({rates[name]:,} per million)" if rates else "")
        for name, count in report["flags"].items()
    ]
    return f"{report['recording']}: {report['rows']:,} rows; {', '.join(told) or 'nothing flagged'}"
