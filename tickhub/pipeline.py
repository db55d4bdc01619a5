"""The way of a batch through the stages: the only place that knows their order."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from django.conf import settings
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)

from ingest import inbox
from quality import findings, inspection, quarantine, unjudged
from quality.budget import Budget
from quality.findings import Observation
from quality.inspection import Judgement
from storage import latest, partitions, tick_writer
from storage.tick_writer import Collision, Written
from tickhub import judging, reaching, round_trips
from tickhub.core import clock, digest, metrics
from tickhub.core import flags as quality_flags
from tickhub.core.batch import Batch
from tickhub.core.clock import DAY_MS, HOUR_MS, LATEST_MSC
from tickhub.core.errors import PermanentError, TransientError
from tickhub.core.flags import Flag, FlagArray
from tickhub.core.ticks import Mask
from tickhub.judging import Basis

logger = logging.getLogger(__name__)

# SQLSTATE class of a transaction that is not what it should be: the server has ended it, as it does with one left idle.
_TRANSACTION_GONE = "25"
# A batch that was failed and released by a person is older; one that is not need not be noted.
_OLD_MS = 2_000


def process(*, batch_id: int) -> int | None:
    """Judge one captured batch and store it, all or nothing; return the id of the batch done.

    If that batch is done already, the oldest waiting one is taken instead; None where nothing waits.

    :raises tickhub.core.errors.TransientError: if it may succeed when tried again
    :raises django.db.DatabaseError: if the database failed; the batch waits on
    """
    try:
        return _attempt(batch_id)
    except inbox.BatchUnavailable:
        oldest = inbox.oldest_waiting()
        if oldest is None:
            return None
    try:
        return _attempt(oldest)
    except inbox.BatchUnavailable:
        return None


class _CareNeeded(Exception):
    """A claimed batch holds a tick that the table must not keep: the short way does not do."""


class _PartitionsNeeded(Exception):
    """A claimed batch holds days, the fullest first, whose partitions are not known to exist; it is put back, and they
    are made."""

    def __init__(self, days: list[int], latest_day: int) -> None:
        super().__init__(days)
        self.days = days
        self.latest_day = latest_day


def _attempt(batch_id: int) -> int:
    """Process one batch; what fails it for good is recorded, and its bytes stay.

    :raises inbox.BatchUnavailable: if it is done already or another worker holds it
    """
    try:
        newest = _process_in_steps(batch_id)
    except (TransientError, inbox.BatchUnavailable, OperationalError, InterfaceError):
        raise
    except Exception as error:  # whatever our own code raises: the batch is failed, never lost
        if _is_transaction_gone(error):
            # A worker that was stopped for a while: nothing about the batch.
            raise
        _fail(batch_id, error)
        return batch_id
    latest.offer(newest)
    return batch_id


def _is_transaction_gone(error: Exception) -> bool:
    sqlstate = getattr(error.__cause__, "sqlstate", None) if isinstance(error, InternalError) else None
    return (sqlstate or "").startswith(_TRANSACTION_GONE)


def _process_in_steps(batch_id: int) -> list[latest.LatestTick]:
    """Process a batch the short way; where that rolls back, make what was missing or go the careful way.

    Partitions are made, and attempts at a doubted batch counted, outside the batch's transaction. Savepoints and
    quarantine, which cost round trips, come only where a tick is held or a row was refused.
    """
    process = _process_shortly
    left_out: list[int] = []
    while True:
        try:
            return process(batch_id, left_out)
        except inbox.AttemptUncounted:
            inbox.count_attempt(batch_id=batch_id)
        except _PartitionsNeeded as needed:
            left_out = _make_partitions(batch_id, needed)
        except (_CareNeeded, IntegrityError, DataError):
            if process is _process_carefully:
                raise
            process = _process_carefully


def _make_partitions(batch_id: int, needed: _PartitionsNeeded) -> list[int]:
    """Make the days' partitions; return those left out, for one batch must not make thousands of tables."""
    left_out = partitions.ensure(
        needed.days,
        earliest_day=settings.EARLIEST_MSC // DAY_MS,
        latest_day=needed.latest_day,
        new_most=settings.NEW_DAYS_MOST,
    )
    if left_out:
        logger.warning(
            "too many new days: their ticks are held",
            extra={"batch_id": batch_id, "days": len(left_out), "most": settings.NEW_DAYS_MOST},
        )
    return left_out


def _fail(batch_id: int, error: Exception) -> None:
    """Mark a batch failed, with the finding that becomes its incident, in one transaction."""
    message = str(error) if isinstance(error, PermanentError) else f"{type(error).__name__}: {error}"
    with transaction.atomic(durable=True):
        source_id = inbox.mark_failed(batch_id=batch_id, failure=message)
        if source_id is None:
            return
        observation = Observation("BATCH_FAILED", None, 1, {"error": message, "kind": type(error).__name__})
        findings.append([observation], source_id=source_id, batch_id=batch_id)
    metrics.FAILED_BATCHES.labels(type(error).__name__).inc()
    logger.error("batch failed", extra={"batch_id": batch_id, "error": message}, exc_info=error)


def _process_shortly(batch_id: int, left_out: list[int]) -> list[latest.LatestTick]:
    """Process a batch of which every tick can be stored, in as few round trips as its size allows: two if it is small.

    :raises _CareNeeded: if a tick is to be held
    :raises django.db.IntegrityError, django.db.DataError: if a row is refused
    """
    with round_trips.rolled_back_unless_committed(), connection.cursor() as cursor:
        with _stage("claim"):
            with round_trips.together():
                cursor.execute("BEGIN")
                asked = inbox.ask(batch_id=batch_id)
            batch = inbox.claimed(asked, batch_id=batch_id)
            _check_partitions(batch, left_out)
        judged, held, basis = _judge(batch, left_out)
        if held.any():
            raise _CareNeeded
        flags = judged.flags
        rows = tick_writer.rows_of(batch, flags=flags)
        written = tick_writer.all_stored(batch)
        observations = _observe(batch, judged)
        outcome = _outcome(batch, written, held, flags, basis)
        is_small = len(rows) <= tick_writer.INSERT_ROWS_MAX
        if not is_small:
            with _stage("write"):
                tick_writer.copy(rows)
        with _stage("mark"), round_trips.together():
            if is_small:
                tick_writer.insert(rows)
            findings.append(observations, source_id=batch.source_id, batch_id=batch.batch_id)
            unjudged.record(batch, checks=judged.left_out)
            _note_if_old(batch)
            inbox.mark_stored(batch_id=batch_id, outcome=outcome)
            cursor.execute("COMMIT")
    _count(written, held)
    return latest.newest_of(batch, is_stored=written.is_stored, quality=flags)


def _judge(batch: Batch, left_out: list[int]) -> tuple[Judgement, Mask, Basis]:
    metrics.BATCH_SECONDS.labels("wait").observe(max(clock.now_msc() - batch.captured_msc, 0) / 1000)
    with _stage("judge"):
        basis = judging.basis_of(batch)
        limits = judging.limits_of(basis, budget=Budget(settings.CHECK_TIMEOUT_MS, clock.monotonic_s))
        judged = inspection.judge(batch, facts=basis.facts, limits=limits)
        if left_out:
            judged.flags[np.isin(batch.ticks["time_msc"] // DAY_MS, left_out)] |= int(Flag.IMPLAUSIBLE_DAY)
        return judged, inspection.held(judged.flags), basis


def _process_carefully(batch_id: int, left_out: list[int]) -> list[latest.LatestTick]:
    """Process any batch: ticks are held, refused rows singled out under savepoints."""
    with transaction.atomic(durable=True):
        with _stage("claim"):
            batch = inbox.claim(batch_id=batch_id)
            _check_partitions(batch, left_out)
        judged, held, basis = _judge(batch, left_out)
        flags = judged.flags
        with _stage("write"):
            written = tick_writer.write(batch, flags=flags, without=held)
            flags[written.is_refused] |= int(Flag.UNSTORABLE)
            flags[written.is_collision] |= int(Flag.COLLISION)
            held |= written.is_refused
        with _stage("hold"):
            quarantine.hold(batch, flags=flags, held=held)
            observations = _observe(batch, judged) + collisions(written.collisions)
            findings.append(observations, source_id=batch.source_id, batch_id=batch.batch_id)
            unjudged.record(batch, checks=judged.left_out)
            _note_if_old(batch)
        with _stage("mark"):
            inbox.mark_stored(batch_id=batch_id, outcome=_outcome(batch, written, held, flags, basis))
    _count(written, held)
    return latest.newest_of(batch, is_stored=written.is_stored, quality=flags)


def _note_if_old(batch: Batch) -> None:
    """Have the hours of a batch that was failed examined and certified again: that may have been done without it."""
    if clock.now_msc() - batch.captured_msc > _OLD_MS:
        reaching.note_passed(batch)


def _observe(batch: Batch, judged: Judgement) -> list[Observation]:
    return findings.observe(batch, flags=judged.flags, spikes=judged.spikes, left_out=judged.left_out)


def _check_partitions(batch: Batch, left_out: list[int]) -> None:
    """Put a batch back whose days have no partition yet; the window is that of the check, what lies outside is held."""
    latest_day = min(batch.poll_msc + DAY_MS, LATEST_MSC - 1) // DAY_MS
    missing = partitions.missing(
        batch.days().tolist(), earliest_day=settings.EARLIEST_MSC // DAY_MS, latest_day=latest_day
    )
    if set(missing) <= set(left_out):
        return
    days, counts = np.unique(batch.ticks["time_msc"] // DAY_MS, return_counts=True)
    is_missing = np.isin(days, missing)
    fullest_first = np.argsort(-counts[is_missing], kind="stable")
    raise _PartitionsNeeded(days[is_missing][fullest_first].tolist(), latest_day)


@contextmanager
def _stage(name: str) -> Iterator[None]:
    started_s = clock.monotonic_s()
    yield
    metrics.BATCH_SECONDS.labels(name).observe(clock.monotonic_s() - started_s)


def collisions(found: list[Collision]) -> list[Observation]:
    """Return one observation for each key that was taken, with both rows."""
    return [
        Observation(
            "COLLISION",
            collision.feed_id,
            1,
            {
                "first": {"time_msc": collision.time_msc, "seq": collision.seq},
                "new_seq": collision.new_seq,
                "stored": collision.stored,
                "new": collision.new,
            },
        )
        for collision in found
    ]


def _outcome(batch: Batch, written: Written, held: Mask, flags: FlagArray, basis: Basis) -> list[dict[str, object]]:
    """Describe what became of each part: digests by UTC hour of the stored ticks, the held ones and the duplicates.

    And what its ticks were judged by, so that they can be judged again alike.

    ``calendar`` names the session calendar and its version that the part was judged by, where one is known.
    """
    outcome: list[dict[str, object]] = []
    everything_stored = bool(written.is_stored.all())
    flagged = (flags & ~int(quality_flags.INFORMATIONAL)) != 0
    any_held, any_duplicate, any_flagged = held.any(), written.is_duplicate.any(), flagged.any()
    for part, place, _ in batch.slices():
        # Adding and subtracting digests is exact, so that only the exceptions are digested a second time.
        stored = part.hours if everything_stored else _digests(batch, place, written.is_stored)
        outcome.append(
            {
                "feed": part.feed_id,
                "stored": _as_json(stored),
                "held": _as_json(_digests(batch, place, held)) if any_held else {},
                "duplicates": _as_json(_digests(batch, place, written.is_duplicate)) if any_duplicate else {},
                "flagged": int(flagged[place].sum()) if any_flagged else 0,
                "judged": basis.as_json(part.feed_id),
            }
            | ({} if (calendar := basis.facts[part.feed_id].calendar) is None else {"calendar": calendar.label})
        )
    return outcome


def _digests(batch: Batch, place: slice, which: Mask) -> dict[int, digest.Digest]:
    marks = which[place]
    if not marks.any():
        return {}
    ticks = batch.ticks[place][marks]
    return digest.by_key(ticks, ticks["time_msc"] // HOUR_MS)


def _as_json(digests: dict[int, digest.Digest]) -> dict[str, list[int | str]]:
    return {str(hour): value.as_list() for hour, value in digests.items()}


def _count(written: Written, held: Mask) -> None:
    metrics.STORED_TICKS.inc(int(written.is_stored.sum()))
    metrics.HELD_TICKS.inc(int(held.sum()))
    metrics.DUPLICATE_TICKS.inc(int(written.is_duplicate.sum()))
    metrics.COLLISIONS.inc(len(written.collisions))
