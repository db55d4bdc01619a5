"""Batches of which checks were left out, until they are judged again. Sole writer of its table."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from quality.models import UnjudgedBatch
from tickhub.core.batch import Batch
from tickhub.core.flags import Flag

# The first wait after an attempt; each further one doubles it. The last of so many ends after some hours.
_WAIT_S, _ATTEMPTS_MAX = 10, 10


@dataclass(frozen=True, slots=True)
class Due:
    """A batch to be judged again by the checks that were left out."""

    batch_id: int
    source_id: int
    checks: Flag


def record(batch: Batch, *, checks: Collection[Flag]) -> None:
    """Record the checks that were left out of a batch, if any, in the caller's transaction."""
    if not checks:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quality_unjudgedbatch (batch_id, source_id, checks) VALUES (%s, %s, %s)",
            [batch.batch_id, batch.source_id, [flag.name for flag in checks]],
        )


def take() -> Due | None:
    """Count an attempt at the batch whose turn it is and return it; None where nothing waits.

    The attempt is counted before it is made, so that a batch that ends its worker is not tried for ever: after ten
    attempts it is given up, and stays as it is.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE quality_unjudgedbatch SET failure = attempts || ' attempts without an outcome; the log says which'"
            " WHERE judged_at IS NULL AND failure = '' AND attempts >= %s AND next_at <= clock_timestamp()",
            [_ATTEMPTS_MAX],
        )
        cursor.execute(
            "UPDATE quality_unjudgedbatch u SET attempts = u.attempts + 1,"
            " next_at = clock_timestamp() + make_interval(secs => %s * 2 ^ u.attempts)"
            " FROM (SELECT batch_id FROM quality_unjudgedbatch WHERE judged_at IS NULL AND failure = ''"
            " AND next_at <= clock_timestamp() ORDER BY next_at, batch_id LIMIT 1 FOR UPDATE SKIP LOCKED) due"
            " WHERE u.batch_id = due.batch_id RETURNING u.batch_id, u.source_id, u.checks",
            [_WAIT_S],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    checks = Flag(0)
    for name in row[2]:
        checks |= Flag[name]
    return Due(row[0], row[1], checks)


def put_off(*, batch_id: int) -> None:
    """Take the attempt back of a batch that could not be tried, in a transaction; its next turn is in a minute."""
    UnjudgedBatch.objects.filter(pk=batch_id, judged_at=None).update(
        attempts=F("attempts") - 1, next_at=Now() + dt.timedelta(minutes=1)
    )


def mark_judged(*, batch_id: int) -> None:
    """Mark a batch as judged by every check, in the caller's transaction."""
    UnjudgedBatch.objects.filter(pk=batch_id).update(judged_at=Now(), failure="")


def give_up(*, batch_id: int, failure: str) -> None:
    """Leave a batch unjudged for good, in the caller's transaction; ``failure`` says why."""
    UnjudgedBatch.objects.filter(pk=batch_id, judged_at=None).update(failure=failure)
