"""Judges a period of stored ticks again: what would change, and then, if asked, changes it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ingest import sessions, stored
from ingest.inbox import BatchUnavailable, BytesGone
from quality import queries as quality_queries
from quality import rules
from tickhub.audit import ledger as audit
from tickhub.core import flags as quality_flags
from tickhub.core.errors import PermanentError
from tickhub.core.flags import FlagArray
from tickhub.core.ticks import Int64s, Mask
from tickhub.reference.models import Feed, Source
from tickhub.rejudging import again as judging_again
from tickhub.rejudging import applying
from tickhub.rejudging.again import Again

_NAME = "requality"
# Progress is told once for so many batches.
_TOLD_BATCHES = 500


@dataclass(frozen=True, slots=True)
class Scope:
    """What is judged again: feeds of one source, and all of their batches that have ticks in the period."""

    source: Source
    feeds: tuple[Feed, ...]
    from_msc: int
    to_msc: int

    @property
    def feed_ids(self) -> list[int]:
        """The feeds' ids."""
        return [feed.pk for feed in self.feeds]

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        """Return the scope for the report and the audit ledger."""
        return {
            "source": self.source.name,
            "feeds": [feed.symbol for feed in self.feeds],
            "from_msc": self.from_msc,
            "to_msc": self.to_msc,
        }


@dataclass(slots=True)
class Change:
    """How many ticks are concerned, and the key of the first one met: feed, time (UTC ms) and seq."""

    ticks: int = 0
    first: tuple[int, int, int] | None = None

    def add(self, which: Mask, feed_id: "np.ndarray[Any, Any]", time_msc: Int64s, seq: "np.ndarray[Any, Any]") -> None:
        """Add the ticks marked."""
        count = int(np.count_nonzero(which))
        if count and self.first is None:
            place = int(which.argmax())
            self.first = (int(feed_id[place]), int(time_msc[place]), int(seq[place]))
        self.ticks += count

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        """Return the change for ``--json``."""
        names = ("feed", "time_msc", "seq")
        return {"ticks": self.ticks, "first": dict(zip(names, self.first, strict=True)) if self.first else None}


@dataclass(slots=True)
class Report:
    """What changes, or would; by flag. ``unread`` counts batches whose bytes were dropped, ``failed`` says the rest."""

    scope: Scope
    is_applied: bool
    thresholds_version: int
    batches: int = 0
    ticks: int = 0
    quarantined: int = 0
    changed: int = 0
    gained: dict[str, Change] = field(default_factory=dict)
    lost: dict[str, Change] = field(default_factory=dict)
    would_be_held: dict[str, Change] = field(default_factory=dict)
    would_be_stored: Change = field(default_factory=Change)
    unread: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, found: Again) -> None:
        """Add what judging one batch again found."""
        self.batches += 1
        self.ticks += len(found.table.place)
        self.quarantined += len(found.quarantine.place)
        feed_of_tick = found.batch.feed_of_tick()
        for rows in (found.table, found.quarantine):
            self.changed += int(np.count_nonzero(rows.is_changed))
            key = feed_of_tick[rows.place], found.batch.ticks["time_msc"][rows.place], found.batch.seq[rows.place]
            _add(self.gained, rows.after & ~rows.before, *key)
            _add(self.lost, rows.before & ~rows.after, *key)
        table, held = found.table.place, found.quarantine.place
        times, seq = found.batch.ticks["time_msc"], found.batch.seq
        _add(self.would_be_held, found.would_be_held, feed_of_tick[table], times[table], seq[table])
        self.would_be_stored.add(found.would_be_stored, feed_of_tick[held], times[held], seq[held])

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        """Return the report for ``--json`` and the audit ledger."""
        return {
            **self.scope.as_json(),
            "applied": self.is_applied,
            "checks_revision": rules.REVISION,
            "thresholds_version": self.thresholds_version,
            "batches": self.batches,
            "ticks": self.ticks,
            "quarantined": self.quarantined,
            "changed": self.changed,
            "gained": {name: change.as_json() for name, change in self.gained.items()},
            "lost": {name: change.as_json() for name, change in self.lost.items()},
            "would_be_held": {name: change.as_json() for name, change in self.would_be_held.items()},
            "would_be_stored": self.would_be_stored.as_json(),
            "unread": self.unread,
            "failed": self.failed,
        }


def _add(
    into: dict[str, Change],
    flags: FlagArray,
    feed_id: "np.ndarray[Any, Any]",
    time_msc: Int64s,
    seq: "np.ndarray[Any, Any]",
) -> None:
    for name in quality_flags.counts(flags):
        into.setdefault(name, Change()).add((flags & quality_flags.Flag[name]) != 0, feed_id, time_msc, seq)


def look(scope: Scope, *, progress: Callable[[str], object]) -> Report:
    """Judge a period again and tell what would change; changes nothing."""
    with sessions.long_work(name=_NAME):
        return _run(scope, _judge, is_applied=False, progress=progress)


def apply(scope: Scope, *, actor: str, progress: Callable[[str], object]) -> Report:
    """Judge a period again and change the flags, one transaction for each batch; the audit ledger says so before and
    after."""
    with sessions.long_work(name=_NAME):
        about = f"feeds of source {scope.source.name}"
        audit.record(actor=actor, action="REQUALITY_BEGUN", about=about, details=scope.as_json())
        report = _run(scope, _judge_and_apply, is_applied=True, progress=progress)
        audit.record(actor=actor, action="REQUALITY_DONE", about=about, details=report.as_json())
    return report


def _judge(scope: Scope, batch_id: int) -> Again:
    return judging_again.judge(batch_id=batch_id, feed_ids=scope.feed_ids)


def _judge_and_apply(scope: Scope, batch_id: int) -> Again:
    return applying.judge_and_apply(batch_id=batch_id, source=scope.source, feed_ids=scope.feed_ids)


def _run(
    scope: Scope, judge: Callable[[Scope, int], Again], *, is_applied: bool, progress: Callable[[str], object]
) -> Report:
    report = Report(scope, is_applied, quality_queries.thresholds().number)
    batch_ids = stored.ids_within(
        source_id=scope.source.pk, feed_ids=scope.feed_ids, from_msc=scope.from_msc, to_msc=scope.to_msc
    )
    for done, batch_id in enumerate(batch_ids):
        if done and done % _TOLD_BATCHES == 0:
            progress(f"{scope.source.name}: {done:,} of {len(batch_ids):,} batches, {report.changed:,} ticks changed")
        try:
            report.add(judge(scope, batch_id))
        except BytesGone:
            report.unread += 1
        except (BatchUnavailable, PermanentError) as error:
            report.failed.append(str(error))
    return report
