"""manage.py quality_report: what the checks find in recordings."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from django.conf import settings
from django.core.management.base import CommandParser

from ingest.sources import recording
from ingest.sources import spec as specs
from ingest.sources.recording import Recording
from ingest.sources.spec import ReplaySpec
from quality import recordings
from quality.inspection import Limits
from tickhub.core import clock, recasting, ticks, zones
from tickhub.core.calendars import Calendar, parse
from tickhub.core.clock import DAY_MS
from tickhub.core.errors import UsageError
from tickhub.core.zones import ClockRule
from tickhub.management.base import TickhubCommand
from tickhub.management.counting import Counting
from tickhub.reference import calendars
from tickhub.reference.queries import FeedFacts


class Command(TickhubCommand):
    help = (
        "Judge recordings in memory by the default thresholds: the flags of each, its gaps and its score; nothing is "
        "stored. Rows are taken in the order of the file: one that is earlier than a row before it is LATE. Times are "
        "taken as UTC, or by the clock= of the SPEC. Needs no database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--source", required=True, action="append", metavar="SPEC", help="replay:PATH, a file or folder; repeatable"
        )
        parser.add_argument(
            "--calendar",
            choices=sorted(calendars.DEFAULTS),
            help="when the instruments can be traded; default by each symbol's name, and else unknown: all time counts",
        )
        parser.add_argument("--rates", action="store_true", help="tell flagged ticks per million too")
        parser.add_argument("--json", action="store_true", help="write one object for each recording, a line each")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        loaded = [one for text in options["source"] for one in self._load(text)]
        total = sum(len(one.ticks) for one in loaded)
        now_msc = clock.now_msc()
        reports, before = [], 0
        with Counting(sys.stderr) as counting:
            for one in loaded:

                def show(done: int, one: Recording = one, before: int = before) -> None:
                    counting.show(total, f"{before + done:,} ticks judged, {one.path.name}")

                report = _report(one, calendar=_calendar(one, options["calendar"]), now_msc=now_msc, progress=show)
                if not options["rates"]:
                    del report["per_million"]
                reports.append(report)
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
        rule = spec.clock or zones.UTC
        if not spec.path.is_dir():
            return [_in_utc(recording.load(spec.path, spec.symbol), rule)]
        if spec.symbol is not None:
            raise UsageError(f"source {text}: symbol={spec.symbol} is for a single file, {spec.path} is a folder")
        loaded, skipped = recording.load_folder(spec.path)
        for entry in skipped:
            self.stderr.write(f"skipped {entry}")
        return [_in_utc(one, rule) for one in loaded]


def _in_utc(one: Recording, rule: ClockRule) -> Recording:
    """Return a recording of a terminal's clock in UTC; of an hour shown twice, what comes first is of the first."""
    times = one.ticks["time_msc"]
    if rule == zones.UTC or len(times) == 0:
        return one
    epochs = zones.epochs_from(rule, to_msc=int(times.max()) + DAY_MS)
    placed = recasting.place(times, epochs, polled_msc=np.maximum.accumulate(times), is_playback=True)
    return replace(one, ticks=ticks.shift_each(one.ticks, placed.time_msc - times))


def _calendar(one: Recording, name: str | None) -> Calendar | None:
    """Return the calendar of a recording as it comes with tickhub, by its name or by the symbol's."""
    chosen = name or calendars.rule(one.symbol)
    return None if chosen is None else parse(name=chosen, **calendars.DEFAULTS[chosen])


def _report(
    one: Recording, *, calendar: Calendar | None, now_msc: int, progress: Callable[[int], object]
) -> dict[str, Any]:  # Any: JSON
    facts = FeedFacts(
        feed_id=1,
        digits=recording.digits(one.ticks),
        is_quoted=recording.is_quoted(one.ticks),
        negative_prices=False,
        calendar=calendar,
    )
    limits = Limits(settings.EARLIEST_MSC, settings.FUTURE_TOLERANCE_MS)
    found = recordings.judge(
        one.ticks, facts=facts, limits=limits, now_msc=now_msc, calendar=calendar, progress=progress
    )
    return {
        "recording": one.path.name,
        "symbol": one.symbol,
        "digits": facts.digits,
        "price_basis": "QUOTE" if facts.is_quoted else "LAST",
        "calendar": None if calendar is None else calendar.name,
        "rows": found.rows,
        "flags": found.flags,
        "gaps": found.silences.count,
        "longest_gap_ms": found.silences.longest_ms,
        "weekends": found.silences.weekends,
        "session_ms": found.examined.session_ms,
        "missing_ms": found.examined.missing_ms,
        "score": None if found.score.value is None else round(found.score.value, 1),
        "score_parts": {name: None if part is None else round(part, 4) for name, part in found.score.parts.items()},
        "per_million": found.rates(),
    }


def _line(report: dict[str, Any]) -> str:  # Any: JSON
    rates = report.get("per_million", {})
    flags = [
        f"{name} {count:,}" + (f" ({rates[name]:,} per million)" if rates else "")
        for name, count in report["flags"].items()
    ]
    told = [
        f"{report['rows']:,} rows",
        ", ".join(flags) or "nothing flagged",
        f"{report['gaps']:,} gaps"
        + (f", the longest of {report['longest_gap_ms'] / 1000:,.1f} s" if report["gaps"] else ""),
        "no score" if report["score"] is None else f"score {report['score']}",
    ]
    return f"{report['recording']}: {'; '.join(told)}"
