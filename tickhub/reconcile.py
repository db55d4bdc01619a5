"""Proves count and digest at every station: what the source shows, what was captured, what is stored.

Without ``deep`` it adds up what each station wrote of its own batch; with it, the tick table, the quarantine and the
bytes of failed batches are read again. Where an hour differs from the source, its ticks are compared one by one as a
multiset, so that ``lost`` and ``stored_twice`` are exact.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from ingest import comparing, cursors, epochview, inbox, queries, reading, rereads
from ingest.rereads import AgentHistory, NoAgent
from ingest.sources import opening
from ingest.sources import spec as specs
from ingest.sources.spec import AgentSpec
from ingest.sources.terminal import OpenSource, Readable
from ingest.target import Target
from quality import queries as quality_queries
from storage import reader
from tickhub import ledger
from tickhub.core import clock, digest
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import DAY_MS, HOUR_MS
from tickhub.core.errors import PermanentError, UsageError
from tickhub.core.ticks import Ticks
from tickhub.ledger import FeedLedger, Hours
from tickhub.reference import corrections
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
    # A moment of the monotonic clock after which sources are no longer read; None is never.
    deadline_s: float | None = None


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
    """Reconcile the sources in scope. A running system is looked at as of one moment for each source.

    :raises UsageError: if no source of that name is known
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


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """One source as of one moment: cursors in UTC, the batches that were stored or failed by then."""

    ledgers: dict[int, FeedLedger]
    cursors: dict[int, int]
    first_waiting_msc: int | None
    flagged: int
    newest_batch: int
    waiting_batches: frozenset[int]

    def holds(self, batch_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Mark the batches that had their outcome at the moment of the snapshot."""
        waiting = np.fromiter(self.waiting_batches, dtype=np.int64, count=len(self.waiting_batches))
        return (batch_ids <= self.newest_batch) & ~np.isin(batch_ids, waiting)


@contextmanager
def _one_moment() -> Iterator[CursorWrapper]:
    """Let all reads of the block see the database as of one moment."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield cursor


def _snapshot(source: Source, feeds: list[Feed]) -> _Snapshot:
    with _one_moment() as cursor:
        # Adding up a long history is no runaway statement.
        cursor.execute("SET LOCAL statement_timeout = 0")
        positions = cursors.load(source_id=source.pk)
        offsets = {row.epoch_id: row.offset_ms for row in reference.epochs(source_id=source.pk).rows}
        return _Snapshot(
            ledgers=ledger.of_source(source.pk),
            cursors={feed_id: p.last_msc - offsets[p.epoch_id] for feed_id, p in positions.items()},
            first_waiting_msc=inbox.first_waiting_msc(source_id=source.pk),
            flagged=ledger.flagged(source.pk, [feed.pk for feed in feeds]),
            newest_batch=queries.newest_batch(),
            waiting_batches=queries.waiting_batches(source_id=source.pk),
        )


def _source(source: Source, feeds: list[Feed], scope: Scope, report: Report) -> None:
    if source.scheme == AgentSpec.scheme:
        _settle(source, scope)
    # The moment is fixed first: what the source shows of it, it goes on showing.
    snapshot = _snapshot(source, feeds)
    reached_msc = max(snapshot.cursors.values(), default=None)
    opened = _open(source, reached_msc, scope, report)
    shown = None if opened is None or reached_msc is None else _Shown(source, feeds, opened, reached_msc)
    report.flagged += snapshot.flagged
    for feed in feeds:
        if feed.pk not in snapshot.cursors:
            continue
        watermark_msc = snapshot.cursors[feed.pk]
        if snapshot.first_waiting_msc is not None:
            watermark_msc = min(watermark_msc, snapshot.first_waiting_msc - 1)
        period = (max(feed.begins_msc, scope.from_msc), min(watermark_msc + 1, scope.to_msc))
        own = snapshot.ledgers.get(feed.pk, FeedLedger())
        _Check(source, feed, own, shown, snapshot, period, scope, report).run()


def _agent(source: Source, scope: Scope) -> AgentHistory:
    """Return what an agent's source can be asked through."""
    if scope.deadline_s is None:
        return AgentHistory(source)
    return AgentHistory(source, patience_s=max(scope.deadline_s - clock.monotonic_s(), 0.1))


def _settle(source: Source, scope: Scope) -> None:
    """Let an agent's late ticks be captured first; one that cannot be asked shows so later on."""
    with suppress(NoAgent, reading.ReadFailed):
        _agent(source, scope).settle()


def _open(source: Source, reached_msc: int | None, scope: Scope, report: Report) -> OpenSource | AgentHistory | None:
    """Open a source for re-reading as of its newest tick captured: what playback has not shown yet is not missing.

    None, with its reason in the report, where that cannot be done here.
    """
    try:
        corrections.refuse_unfinished(source_name=source.name)
        if source.scheme == AgentSpec.scheme:
            rereads.check_connected(source)
            return _agent(source, scope)
        opened = opening.open_for_rereading(specs.parse(source.spec), reached_msc=reached_msc)
    except UsageError as error:
        report.unavailable.append(f"{source.name}: {error}")
    else:
        if opened.can_be_reread:
            return opened
        report.unavailable.append(f"{source.name}: its history can only be read by its own poller")
    report.lost = report.stored_twice = None
    return None


@dataclass(slots=True)
class _Check:
    """The reconciliation of one feed."""

    source: Source
    feed: Feed
    own: FeedLedger
    shown: "_Shown | None"
    snapshot: _Snapshot
    period: tuple[int, int]
    scope: Scope
    report: Report

    def run(self) -> None:
        own, report = self.own, self.report
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
        claimed = ledger.add(own.stored, own.held, own.failed)
        kept = claimed
        if self.scope.is_deep:
            kept = self._read_kept()
            self._compare_hours("table, quarantine and failed bytes", claimed, kept)
        if self.shown is None:
            return
        if self.scope.deadline_s is not None and clock.monotonic_s() > self.scope.deadline_s:
            self._give_up("not compared with the source: no time was left")
            return
        try:
            self._check_source(kept, self.shown)
        except (reading.ReadFailed, NoAgent, PermanentError) as error:
            self._give_up(str(error))

    def _give_up(self, reason: str) -> None:
        self.report.unavailable.append(f"{self.feed}: {reason}")
        self.report.lost = self.report.stored_twice = None

    def _within(self, hours: Hours) -> Hours:
        """Return the hours of the period asked for; without one, all: an implausible time lies in no period."""
        low, high = self.scope.from_msc // HOUR_MS, -(-self.scope.to_msc // HOUR_MS)
        return {h: d for h, d in hours.items() if low <= h < high}

    def _check_ledger(self) -> None:
        """Count in = count out, hour by hour, with digests."""
        own = self.own
        out = ledger.add(own.stored, own.held, own.duplicates, own.failed, own.waiting)
        self._compare_hours(
            "captured = stored + quarantined + duplicates + failed", self._within(own.captured), self._within(out)
        )

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
        kept: Hours = {}
        # A tick that is released in between would otherwise be met in neither place.
        with _one_moment():
            for piece in reader.read_pieces(feed_id=self.feed.pk, from_msc=_EVER[0], to_msc=_EVER[1]):
                ticks = piece.ticks[self.snapshot.holds(piece.batch_id)]
                kept = ledger.add(kept, digest.by_key(ticks, ticks["time_msc"] // HOUR_MS))
            held = self._held(*_EVER)
        others = np.concatenate([held, self._failed(*_EVER)])
        return ledger.add(kept, digest.by_key(others, others["time_msc"] // HOUR_MS))

    def _stored(self, from_msc: int, to_msc: int) -> Ticks:
        piece = reader.read(feed_id=self.feed.pk, from_msc=from_msc, to_msc=to_msc)
        return piece.ticks[self.snapshot.holds(piece.batch_id)]

    def _held(self, from_msc: int, to_msc: int) -> Ticks:
        held, batch_ids = quality_queries.held(feed_id=self.feed.pk, from_msc=from_msc, to_msc=to_msc, in_utc=True)
        return held[self.snapshot.holds(batch_ids)]

    def _failed(self, from_msc: int, to_msc: int) -> Ticks:
        found = queries.captured_between(
            source_id=self.source.pk,
            from_msc=from_msc,
            to_msc=to_msc,
            status="FAILED",
            feed_id=self.feed.pk,
            in_utc=True,
        ).get(self.feed.pk)
        return found.ticks if found else tick_arrays.empty()

    def _check_source(self, kept: Hours, source: "_Shown") -> None:
        """Compare the source's own hours with what is kept; an hour that differs is compared tick by tick."""
        shown = source.hours(self.feed.symbol, *self.period)
        low, high = self.period
        for hour in sorted(shown.keys() | kept.keys()):
            start, end = max(hour * HOUR_MS, low), min((hour + 1) * HOUR_MS, high)
            is_whole = start == hour * HOUR_MS and end == (hour + 1) * HOUR_MS
            left, right = shown.get(hour, digest.ZERO), kept.get(hour, digest.ZERO)
            if start >= end or left == right:
                continue
            ticks = source.between(self.feed.symbol, start, end)
            self._compare_ticks(ticks, start, end, is_exact=left == right or not is_whole)

    def _compare_ticks(self, shown: Ticks, start: int, end: int, *, is_exact: bool) -> None:
        with _one_moment():
            stored, held = self._stored(start, end), self._held(start, end)
        kept = np.concatenate([stored, held, self._failed(start, end)])
        is_twice, is_lost = comparing.multiset_difference(shown, kept)
        lost, twice = int(np.count_nonzero(is_lost)), int(np.count_nonzero(is_twice))
        if self.report.lost is not None and self.report.stored_twice is not None:
            self.report.lost += lost
            self.report.stored_twice += twice
        if lost or twice:
            first = _first("lost", shown[is_lost]) + _first("of the other", kept[is_twice])
            self.report.differences.append(
                f"{self.feed} {clock.iso(start)}: {lost} lost, {twice} stored twice or not of the source{first}"
            )
        elif not is_exact:
            self.report.differences.append(f"{self.feed} {clock.iso(start)}: the stations' rows differ from the data")


def _first(what: str, ticks: Ticks) -> str:
    """Name the earliest of ticks; nothing where there is none."""
    if len(ticks) == 0:
        return ""
    tick = ticks[int(ticks["time_msc"].argmin())]
    values = ", ".join(f"{name} {tick[name].item()!r}" for name in ("bid", "ask", "last", "volume_real"))
    return f"; first {what}: {clock.iso(int(tick['time_msc']))}, {values}"


class _Shown:
    """What a source shows, in UTC: each epoch of its clock as capture is shown it."""

    def __init__(self, source: Source, feeds: list[Feed], opened: OpenSource | AgentHistory, reached_msc: int) -> None:
        self._epochs = reference.epochs(source_id=source.pk)
        self._source = source
        self._by_symbol = {feed.symbol: feed for feed in feeds}
        self._feeds = {feed.symbol: (feed.pk, feed.begins_msc) for feed in feeds}
        self._opened = opened
        self._reached_msc = reached_msc
        self._views: dict[int, Readable] = {}

    def hours(self, symbol: str, start: int, end: int) -> Hours:
        """Return the digest of each UTC hour of ``[start, end)``, read day by day."""
        found: Hours = {}
        if isinstance(self._opened, AgentHistory):
            return self._opened.hours(self._feed(symbol), start, end) if start < end else found
        while start < end:
            stop = min((start // DAY_MS + 1) * DAY_MS, end)
            ticks = self.between(symbol, start, stop)
            found |= digest.by_key(ticks, ticks["time_msc"] // HOUR_MS)
            start = stop
        return found

    def between(self, symbol: str, start: int, end: int) -> Ticks:
        """Return the ticks of ``[start, end)``, each epoch's in order."""
        if isinstance(self._opened, AgentHistory):
            return self._opened.rows(self._feed(symbol), start, end)
        pieces = [tick_arrays.empty()]
        for place, low, high in self._shares(start, end):
            offset_ms = self._epochs.rows[place].offset_ms
            ticks = reading.read_range(
                self._view(place),
                symbol,
                from_second=(low + offset_ms) // 1000,
                to_second=-(-(high + offset_ms) // 1000),
            )
            ticks = tick_arrays.shift(ticks, -offset_ms)
            pieces.append(ticks[(ticks["time_msc"] >= low) & (ticks["time_msc"] < high)])
        return np.concatenate(pieces)

    def _shares(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """Cut a period into epochs (by place); rows of an hour that a clock leaves out stand behind the epoch's end."""
        shares = []
        for place, row in enumerate(self._epochs.rows):
            low, high = max(start, row.starts_msc), min(end, row.ends_msc + self._epochs.skipped_ms(place))
            if low < high:
                shares.append((place, low, high))
        return shares

    def _feed(self, symbol: str) -> Feed:
        return self._by_symbol[symbol]

    def _view(self, place: int) -> Readable:
        if isinstance(self._opened, AgentHistory):
            raise TypeError("an agent's terminal is asked, not viewed")
        if place not in self._views:
            target = Target(self._source.pk, self._source.name, self._epochs, place, self._feeds)
            self._views[place] = epochview.of(
                self._opened.terminal,
                target,
                now_msc=lambda: self._reached_msc,
                seen_msc=lambda _: self._reached_msc,
            )
        return self._views[place]
