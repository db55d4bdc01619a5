"""Releases, rejects and reopens quarantined ticks: one transaction for each batch, all of its chosen ticks or none.

A tick that cannot be released is refused by itself, with its reason; the others of its batch are released.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import DatabaseError, InterfaceError, OperationalError, transaction

from ingest import inbox
from ingest.inbox import BatchUnavailable
from quality import due_hours, quarantine
from quality import queries as quality_queries
from quality.models import QuarantinedTick
from quality.quarantine import NotInState
from storage import latest
from storage.latest import LatestTick
from storage.rekeying import RowsChanged
from tickhub import disk, reaching
from tickhub.audit import ledger as audit
from tickhub.core import metrics
from tickhub.core.clock import HOUR_MS
from tickhub.core.errors import UsageError
from tickhub.core.flags import names
from tickhub.quarantine import refusals, releasing
from tickhub.quarantine.totals import TotalsDiffer
from tickhub.reference import corrections
from tickhub.reference import queries as reference
from tickhub.reference.models import Source

MANY_MAX = 1_000
REASON_LENGTH_MAX = 500
_ABOUT_LENGTH_MAX = 500
_HELD = QuarantinedTick.State.HELD.value
_RELEASED = QuarantinedTick.State.RELEASED.value
_REJECTED = QuarantinedTick.State.REJECTED.value


@dataclass(slots=True)
class Decided:
    """How many ticks were decided on, and one line for each that was not, or for each batch of which none was."""

    done: int = 0
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Decision:
    """What is to be done, by whom and why."""

    actor: str
    reason: str
    action: str
    before: str
    after: str


# Decides on ticks of one batch in one transaction; tells how many, the refused ones, and the newest stored.
_Do = Callable[[int, list[int], _Decision], tuple[Decided, list[LatestTick]]]


def release(*, row_ids: list[int], reason: str, actor: str) -> Decided:
    """Write held ticks to the tick table under their own keys, with the flag RELEASED beside their reasons.

    A key that is taken gives its tick the next free seq of the millisecond, with the flag COLLISION and a finding.

    :raises UsageError: if no reason is given, or over 1,000 ticks are chosen; nothing was done
    :raises tickhub.disk.DiskFull: if there is no room; nothing was done
    """
    disk.guard().check()
    decided = _each_batch(_release, row_ids, _Decision(actor, reason.strip(), "TICKS_RELEASED", _HELD, _RELEASED))
    metrics.RELEASED_TICKS.inc(decided.done)
    return decided


def reject(*, row_ids: list[int], reason: str, actor: str) -> Decided:
    """Refuse held ticks for good; they stay in quarantine.

    :raises UsageError: if no reason is given, or over 1,000 ticks are chosen; nothing was done
    """
    return _each_batch(_mark, row_ids, _Decision(actor, reason.strip(), "TICKS_REJECTED", _HELD, _REJECTED))


def reopen(*, row_ids: list[int], reason: str, actor: str) -> Decided:
    """Take the rejection of ticks back: they are held again.

    :raises UsageError: if no reason is given, or over 1,000 ticks are chosen; nothing was done
    """
    return _each_batch(_mark, row_ids, _Decision(actor, reason.strip(), "TICKS_REOPENED", _REJECTED, _HELD))


def _each_batch(do: _Do, row_ids: list[int], decision: _Decision) -> Decided:
    _check(row_ids, decision.reason)
    batches = quality_queries.batches_of(row_ids=row_ids)
    unknown = set(row_ids) - {row_id for ids in batches.values() for row_id in ids}
    total = Decided(refused=[f"quarantined tick {row_id}: not known" for row_id in sorted(unknown)])
    for batch_id, ids in batches.items():
        try:
            decided, newest = do(batch_id, ids, decision)
        except (BatchUnavailable, NotInState, RowsChanged, TotalsDiffer, UsageError) as error:
            total.refused.append(f"batch {batch_id}, none of {len(ids)} ticks: {error}")
        except (OperationalError, InterfaceError) as error:
            # The answer to a commit may be what was lost.
            total.refused.append(f"batch {batch_id}, look whether its {len(ids)} ticks are done: {_line(error)}")
        except DatabaseError as error:
            total.refused.append(f"batch {batch_id}, none of {len(ids)} ticks, try again: {_line(error)}")
        else:
            total.done += decided.done
            total.refused += decided.refused
            latest.offer(newest)
    return total


def _check(row_ids: list[int], reason: str) -> None:
    if not reason:
        raise UsageError("a reason is required")
    if len(reason) > REASON_LENGTH_MAX:
        msg = f"the reason has {len(reason)} characters, at most {REASON_LENGTH_MAX} are kept"
        raise UsageError(msg)
    if len(row_ids) > MANY_MAX:
        msg = f"{len(row_ids)} ticks are chosen, at most {MANY_MAX} are decided on at once"
        raise UsageError(msg)


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _mark(batch_id: int, row_ids: list[int], decision: _Decision) -> tuple[Decided, list[LatestTick]]:
    """Put ticks of one batch into another state; the table is not concerned."""
    source = reference.source_of_feed(feed_id=quality_queries.feed_of(row_id=row_ids[0]))
    with transaction.atomic(durable=True):
        corrections.hold_off(source=source)
        rows = quarantine.lock(row_ids=row_ids)
        chosen = [row for row in rows if row.state == decision.before]
        refused = [f"{row}: it is {row.state}, not {decision.before}" for row in rows if row.state != decision.before]
        if chosen:
            _decide(batch_id, source, chosen, decision)
    return Decided(len(chosen), refused), []


def _release(batch_id: int, row_ids: list[int], decision: _Decision) -> tuple[Decided, list[LatestTick]]:
    """Move ticks of one batch from the quarantine to the table, with all that is said of them."""
    source = reference.source_of_feed(feed_id=quality_queries.feed_of(row_id=row_ids[0]))
    days = refusals.make_days(row_ids)
    newest: list[LatestTick] = []
    with transaction.atomic(durable=True):
        # In this order everywhere: source, batch, quarantine, ticks.
        corrections.hold_off(source=source)
        inbox.lock_stored(batch_id=batch_id)
        rows = quarantine.lock(row_ids=row_ids)
        why_not = [refusals.of_itself(row) or refusals.of_its_day(row, days=days) for row in rows]
        chosen = [row for row, reason in zip(rows, why_not, strict=True) if reason is None]
        refused = [f"{row}: {reason}" for row, reason in zip(rows, why_not, strict=True) if reason is not None]
        if chosen:
            stored = releasing.write(chosen, batch_id=batch_id, source_id=source.pk)
            _decide(batch_id, source, chosen, decision, stored_seq=stored.seq.tolist())
            releasing.recount(chosen, batch_id=batch_id)
            _note_hours(source, chosen)
            newest = latest.newest_rows(stored)
    return Decided(len(chosen), refused), newest


def _note_hours(source: Source, rows: list[QuarantinedTick]) -> None:
    """Have the hours of released ticks looked at again: they are of another station now, and may close a gap."""
    hours = {(row.feed_id, row.time_msc // HOUR_MS) for row in rows}
    for feed_id in {feed_id for feed_id, _ in hours}:
        own = [(hour, hour + 1) for of_feed, hour in hours if of_feed == feed_id]
        due_hours.note(due_hours.CERTIFY, source_id=source.pk, feed_ids=[feed_id], hours=own)
    reaching.note_to_examine(source_id=source.pk, hours={hour for _, hour in hours})


def _decide(
    batch_id: int,
    source: Source,
    rows: list[QuarantinedTick],
    decision: _Decision,
    stored_seq: list[int] | None = None,
) -> None:
    """Record a decision in the quarantine and in the audit ledger, in the caller's transaction."""
    quarantine.decide(
        row_ids=[row.pk for row in rows],
        before=decision.before,
        after=decision.after,
        actor=decision.actor,
        reason=decision.reason,
        stored_seq=stored_seq,
    )
    ticks: list[dict[str, object]] = [
        {"id": row.pk, "feed": row.feed_id, "time_msc": row.time_msc, "seq": row.seq, "flags": names(row.quality)}
        for row in rows
    ]
    if stored_seq is not None:
        ticks = [tick | {"stored_seq": seq} for tick, seq in zip(ticks, stored_seq, strict=True)]
    audit.record(
        actor=decision.actor,
        action=decision.action,
        about=f"batch {batch_id} of source {source.name}"[:_ABOUT_LENGTH_MAX],
        details={"reason": decision.reason, "ticks": ticks},
    )
