"""Proves count and digest at every station: what the source shows, what was captured, what is stored.

Without ``deep`` it adds up what each station wrote of its own batch; with it, the tick table, the quarantine and the
bytes of failed batches are read again. Where an hour differs from the source, its ticks are compared one by one as a
multiset, so that ``lost`` and ``stored_twice`` are exact.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.db.models import Max

from ingest import comparing, inbox, queries, reading
from ingest.models import Cursor
from ingest.sources import opening
from ingest.sources import spec as specs
from ingest.sources.terminal import OpenSource
from quality import queries as quality_queries
from storage import reader
from tickhub import ledger
from tickhub.core import clock, digest
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import DAY_MS, HOUR_MS
from tickhub.core.digest import Digest
from tickhub.core.errors import UsageError
from tickhub.core.ticks import Ticks
from tickhub.ledger import FeedLedger, Hours
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed, Source

_EVER = (-(1 << 62), 1 << 62)


@dataclass(frozen=True, slots=True)
class Scope:
    """What to reconcile; the period is half-open, UTC milliseconds."""

    source: str | None = None
    instrument: str | None = None
    from_msc: int = _EVER[0]
    to_msc: int = _EVER[1]
    is_deep: bool = False


@dataclass(slots=True)
class Report:
    """Totals, and one line for each thing that is not as it must be."""

    captured: int = 0
    stored: int = 0
    quarantined: int = 0
    duplicates: int = 0
    failed: int = 0
    waiting: int = 0
    flagged: int = 0
    lost: int | None = 0
    stored_twice: int | None = 0
    differences: list[str] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Return whether nothing is lost, stored twice, failed or different."""
        return not (self.lost or self.stored_twice or self.failed or self.differences)

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        """Return the report for ``--json``."""
        return {name: getattr(self, name) for name in self.__slots__}


def reconcile(scope: Scope, *, progress: Callable[[str], None] = lambda _: None) -> Report:
    """Reconcile the sources in scope.

    :raises UsageError: if no source or instrument of that name is known
    """
    report = Report()
    sources = list(reference.sources(name=scope.source))
    if scope.source is not None and not sources:
        msg = f"source {scope.source} is not known"
        raise UsageError(msg)
    for source in sources:
        feeds = [
            feed for feed in reference.feeds(source=source.name) if scope.instrument in (None, feed.instrument.code)
        ]
        progress(f"reconciling {source.name}")
        _source(source, feeds, scope, report)
    return report


def _source(source: Source, feeds: list[Feed], scope: Scope, report: Report) -> None:
    ledgers = ledger.of_source(source.pk)
    opened = _open(source, report)
    report.flagged += ledger.flagged(source.pk, [feed.pk for feed in feeds])
    waiting_msc = inbox.first_waiting_msc(source_id=source.pk)
    offset_ms = reference.offset_ms(source_id=source.pk)
    cursors = {row.feed_id: row.last_msc for row in Cursor.objects.filter(feed__source=source).order_by("pk")}
    for feed in feeds:
        own = ledgers.get(feed.pk, FeedLedger())
        if feed.pk not in cursors:
            continue
        watermark_msc = cursors[feed.pk] - offset_ms
        if waiting_msc is not None:
            watermark_msc = min(watermark_msc, waiting_msc - 1)
        period = (max(feed.begins_msc, scope.from_msc), min(watermark_msc + 1, scope.to_msc))
        _Check(source, feed, own, opened, offset_ms, period, scope.is_deep, report).run()


def _open(source: Source, report: Report) -> OpenSource | None:
    """Open a source for re-reading; None, with its reason in the report, where that cannot be done here."""
    try:
        opened = opening.open_for_rereading(specs.parse(source.spec), reached_msc=_reached(source))
    except UsageError as error:
        report.unavailable.append(f"{source.name}: {error}")
    else:
        if opened.can_be_reread:
            return opened
        report.unavailable.append(f"{source.name}: its history can only be read by its own poller")
    report.lost = report.stored_twice = None
    return None


def _reached(source: Source) -> int | None:
    """Return the newest time (terminal clock) captured: what playback has not shown yet is not missing."""
    reached: int | None = Cursor.objects.filter(feed__source=source).aggregate(reached=Max("last_msc"))["reached"]
    return reached


@dataclass(slots=True)
class _Check:
    """The reconciliation of one feed."""

    source: Source
    feed: Feed
    own: FeedLedger
    opened: OpenSource | None
    offset_ms: int
    period: tuple[int, int]
    is_deep: bool
    report: Report

    def run(self) -> None:
        own, report = self.own, self.report
        # An implausible time falls outside every period and still counts.
        totals = {
            name: ledger.total(self._within(getattr(own, name)))
            for name in ("captured", "stored", "held", "duplicates", "failed", "waiting")
        }
        report.captured += totals["captured"]
        report.stored += totals["stored"]
        report.quarantined += totals["held"]
        report.duplicates += totals["duplicates"]
        report.failed += totals["failed"]
        report.waiting += totals["waiting"]
        self._check_ledger()
        kept = self._read_kept() if self.is_deep else ledger.add(own.stored, own.held, own.failed)
        if self.is_deep:
            self._compare_hours(
                "table, quarantine and failed bytes", ledger.add(own.stored, own.held, own.failed), kept
            )
        if self.opened is not None:
            self._check_source(kept)

    def _within(self, hours: Hours) -> Hours:
        if (self.period[0], self.period[1]) == _EVER:
            return hours
        low, high = self.period[0] // HOUR_MS, -(-self.period[1] // HOUR_MS)
        is_all = self.period[0] <= self.feed.begins_msc
        return {h: d for h, d in hours.items() if (low <= h < high) or (is_all and not low <= h < high)}

    def _check_ledger(self) -> None:
        """Count in = count out, hour by hour, with digests."""
        own = self.own
        out = ledger.add(own.stored, own.held, own.duplicates, own.failed, own.waiting)
        self._compare_hours("captured = stored + quarantined + duplicates + failed", own.captured, out)

    def _compare_hours(self, what: str, expected: Hours, found: Hours) -> None:
        for hour in sorted(expected.keys() | found.keys()):
            left, right = expected.get(hour, digest.ZERO), found.get(hour, digest.ZERO)
            if left != right:
                self.report.differences.append(
                    f"{self.feed} {clock.iso(hour * HOUR_MS)}: {what}: expected {left.count}, found {right.count}"
                    + ("" if left.count != right.count else " with another digest")
                )

    def _read_kept(self) -> Hours:
        """Read again what the tick table, the quarantine and the failed batches hold."""
        stored = reader.digests(feed_id=self.feed.pk, from_msc=_EVER[0], to_msc=_EVER[1])
        others = np.concatenate([self._held(*_EVER), self._failed(*_EVER)])
        return ledger.add(stored, digest.by_key(others, others["time_msc"] // HOUR_MS))

    def _held(self, from_msc: int, to_msc: int) -> Ticks:
        held = quality_queries.held(feed_id=self.feed.pk, from_msc=from_msc, to_msc=to_msc)
        return tick_arrays.shift(held, -self.offset_ms)

    def _failed(self, from_msc: int, to_msc: int) -> Ticks:
        found = queries.captured_between(
            source_id=self.source.pk, from_msc=from_msc, to_msc=to_msc, status="FAILED", feed_id=self.feed.pk
        ).get(self.feed.pk)
        return tick_arrays.shift(found.ticks, -self.offset_ms) if found else tick_arrays.empty()

    def _check_source(self, kept: Hours) -> None:
        """Compare the source's own hours with what is kept; an hour that differs is compared tick by tick."""
        shown = self._shown_hours()
        low, high = self.period
        for hour in sorted(shown.keys() | kept.keys()):
            start, end = max(hour * HOUR_MS, low), min((hour + 1) * HOUR_MS, high)
            is_whole = start == hour * HOUR_MS and end == (hour + 1) * HOUR_MS
            left, right = shown.get(hour, digest.ZERO), kept.get(hour, digest.ZERO)
            if start >= end or left == right:
                continue
            self._compare_ticks(start, end, left, right, is_whole=is_whole)

    def _compare_ticks(self, start: int, end: int, left: Digest, right: Digest, *, is_whole: bool) -> None:
        shown = self._shown(start, end)
        kept = np.concatenate(
            [
                reader.read(feed_id=self.feed.pk, from_msc=start, to_msc=end).ticks,
                self._held(start, end),
                self._failed(start, end),
            ]
        )
        is_twice, is_lost = comparing.multiset_difference(shown, kept)
        lost, twice = int(np.count_nonzero(is_lost)), int(np.count_nonzero(is_twice))
        if self.report.lost is not None and self.report.stored_twice is not None:
            self.report.lost += lost
            self.report.stored_twice += twice
        if lost or twice:
            self.report.differences.append(
                f"{self.feed} {clock.iso(start)}: {lost} lost, {twice} stored twice or not of the source"
            )
        elif is_whole and left != right:
            self.report.differences.append(f"{self.feed} {clock.iso(start)}: the stations' rows differ from the data")

    def _shown_hours(self) -> Hours:
        found: Hours = {}
        start, end = self.period
        while start < end:
            stop = min((start // DAY_MS + 1) * DAY_MS, end)
            ticks = self._shown(start, stop)
            found |= digest.by_key(ticks, ticks["time_msc"] // HOUR_MS)
            start = stop
        return found

    def _shown(self, start: int, end: int) -> Ticks:
        """Return what the source shows of ``[start, end)`` in UTC."""
        if self.opened is None:
            return tick_arrays.empty()
        ticks = reading.read_range(
            self.opened.terminal,
            self.feed.symbol,
            from_second=(start + self.offset_ms) // 1000,
            to_second=-(-(end + self.offset_ms) // 1000),
        )
        ticks = tick_arrays.shift(ticks, -self.offset_ms)
        return ticks[(ticks["time_msc"] >= start) & (ticks["time_msc"] < end)]
