"""manage.py requality: judges stored ticks again by the checks and thresholds in force."""

import getpass
import socket
import sys
from typing import Any

from django.core.management.base import CommandParser

from tickhub.core.errors import UsageError
from tickhub.management import periods
from tickhub.management.base import TickhubCommand
from tickhub.reference import queries as reference
from tickhub.rejudging import requality
from tickhub.rejudging.requality import Change, Report, Scope


class Command(TickhubCommand):
    help = (
        "Judge the ticks of a period again by the checks, thresholds and calendars in force, and tell for each flag "
        "how many ticks would gain and lose it. Nothing is changed without --apply, which tells the same first. "
        "Every batch with a tick in the period is judged whole. Only flags change: no tick leaves the table or the "
        "quarantine, those that would now are counted. What only the poll knew (LATE, FUTURE, a clock's repeated hour) "
        "and what was decided since (RELEASED, COLLISION) stays. Exit code 1 where a batch could not be judged."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--source", metavar="NAME", help="one source (default: all)")
        parser.add_argument("--symbol", help="one feed, by its source's own symbol (default: all)")
        parser.add_argument("--instrument", metavar="CODE", help="the feeds of one instrument (default: all)")
        periods.add_arguments(parser)
        parser.add_argument("--apply", action="store_true", help="change the flags")
        parser.add_argument("--json", action="store_true", help="write the reports as the last line")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        reports = []
        for scope in _scopes(options):
            report = requality.look(scope, progress=self.stderr.write)
            self._write(report)
            if options["apply"]:
                actor = f"{getpass.getuser()}@{socket.gethostname()}"
                report = requality.apply(scope, actor=actor, progress=self.stderr.write)
                self._write(report)
            reports.append(report)
        if options["json"]:
            self.print_json({"sources": [report.as_json() for report in reports]})
        if any(report.unread or report.failed for report in reports):
            sys.exit(1)

    def _write(self, report: Report) -> None:
        verb = "changed" if report.is_applied else "would change"
        self.stdout.write(
            f"{report.scope.source.name}: {report.batches:,} batches, {report.ticks:,} ticks and "
            f"{report.quarantined:,} quarantined ones judged again: {report.changed:,} {verb}"
        )
        for title, changes in (
            ("gained" if report.is_applied else "would gain", report.gained),
            ("lost" if report.is_applied else "would lose", report.lost),
            ("stored, but would be held if it came now", report.would_be_held),
        ):
            for name, change in sorted(changes.items()):
                self.stdout.write(f"  {title} {name}: {_told(change, report)}")
        if report.would_be_stored.ticks:
            self.stdout.write(
                f"  held, but would be stored if it came now: {_told(report.would_be_stored, report)}; "
                f"release them in the admin"
            )
        if report.unread:
            self.stdout.write(f"  {report.unread:,} batches not judged: their bytes were dropped")
        for failure in report.failed:
            self.stdout.write(f"  not judged: {failure}")


def _told(change: Change, report: Report) -> str:
    feed_id, time_msc, seq = change.first or (0, 0, 0)
    symbol = next(feed.symbol for feed in report.scope.feeds if feed.pk == feed_id)
    return f"{change.ticks:,}, the first is {symbol} {time_msc}/{seq}"


def _scopes(options: dict[str, Any]) -> list[Scope]:  # Any: the parser's values
    """Return what to judge, for each source by itself."""
    from_msc, to_msc = periods.period(options)
    rows = reference.feeds(source=options["source"], symbol=options["symbol"])
    if options["instrument"] is not None:
        rows = rows.filter(instrument__code=options["instrument"])
    feeds = list(rows)
    if not feeds:
        asked = ", ".join(f"{name} {options[name]}" for name in ("source", "symbol", "instrument") if options[name])
        msg = f"requality: no feed{f' of {asked}' if asked else ''}; `manage.py reconcile` lists what there is"
        raise UsageError(msg)
    by_source = {feed.source.name: feed.source for feed in feeds}
    return [
        Scope(source, tuple(feed for feed in feeds if feed.source_id == source.pk), from_msc, to_msc)
        for source in by_source.values()
    ]
