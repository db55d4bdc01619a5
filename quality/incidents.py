"""The keeper: makes incidents of findings, one for each cause, and tells of conditions. Opens every incident."""

import json
from typing import Any

from django.db import connection, transaction

from quality.models import Incident

_LOCK = 0x7469636B02


def exclude_keeper() -> None:
    """Let no keeper begin until the caller's transaction ends; waits for one at work."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def raise_condition(
    *,
    cause: str,
    evidence: dict[str, Any],  # Any: JSON
    source_id: int | None = None,
    severity: str = Incident.Severity.ERROR,
) -> bool:
    """Open the incident of a condition of the system, or count it once more; return whether it was opened."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quality_incident (cause, source_id, state, severity, opened_at, last_seen_at, count, evidence)"
            " VALUES (%s, %s, 'OPEN', %s, clock_timestamp(), clock_timestamp(), 1, %s::jsonb)"
            " ON CONFLICT (cause, source_id, feed_id) WHERE state <> 'RESOLVED' DO UPDATE"
            " SET count = quality_incident.count + 1, last_seen_at = excluded.last_seen_at RETURNING count",
            [cause, source_id, severity, json.dumps(evidence)],
        )
        return int(cursor.fetchone()[0]) == 1


def clear_condition(*, cause: str, source_id: int | None = None) -> bool:
    """Resolve the incident of a condition that is over; return whether one was open."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE quality_incident SET state = 'RESOLVED', resolved_at = clock_timestamp() WHERE cause = %s"
            " AND source_id IS NOT DISTINCT FROM %s AND feed_id IS NULL AND state <> 'RESOLVED'",
            [cause, source_id],
        )
        return bool(cursor.rowcount)


def keep(*, limit: int = 10_000) -> int:
    """Add the oldest new findings to the open incidents of their causes, opening what is missing; return how many.

    Safe to run twice at once: one keeper works, the other finds nothing to do.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        (is_ours,) = cursor.fetchone()
        if not is_ours:
            return 0
        cursor.execute(
            "CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT id, cause, source_id, feed_id, batch_id, count,"
            " evidence, found_at FROM quality_finding WHERE incident_id IS NULL ORDER BY id LIMIT %s",
            [limit],
        )
        cursor.execute(
            "INSERT INTO quality_incident (cause, source_id, feed_id, state, opened_at, last_seen_at, count, evidence)"
            " SELECT cause, source_id, feed_id, 'OPEN', min(found_at), max(found_at), sum(count),"
            " (array_agg(evidence || jsonb_build_object('batch', batch_id) ORDER BY id))[1]"
            " FROM kept GROUP BY cause, source_id, feed_id"
            " ON CONFLICT (cause, source_id, feed_id) WHERE state <> 'RESOLVED' DO UPDATE"
            " SET count = quality_incident.count + excluded.count, last_seen_at = excluded.last_seen_at"
        )
        cursor.execute(
            "UPDATE quality_finding f SET incident_id = i.id FROM kept k JOIN quality_incident i"
            " ON i.cause = k.cause AND i.source_id IS NOT DISTINCT FROM k.source_id"
            " AND i.feed_id IS NOT DISTINCT FROM k.feed_id AND i.state <> 'RESOLVED' WHERE f.id = k.id"
        )
        return int(cursor.rowcount)


def observe(
    *,
    cause: str,
    source_id: int,
    feed_id: int | None,
    holds: bool,
    severity: str,
    evidence: dict[str, Any],  # Any: JSON
) -> None:
    """Keep the incident of something that holds or does not: open it, refresh its evidence, or resolve it."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        if not holds:
            cursor.execute(
                "UPDATE quality_incident SET state = 'RESOLVED', resolved_at = clock_timestamp() WHERE cause = %s"
                " AND source_id = %s AND feed_id IS NOT DISTINCT FROM %s::int2 AND state <> 'RESOLVED'",
                [cause, source_id, feed_id],
            )
            return
        cursor.execute(
            "INSERT INTO quality_incident (cause, source_id, feed_id, state, severity, count, evidence)"
            " VALUES (%s, %s, %s, 'OPEN', %s, 1, %s::jsonb)"
            " ON CONFLICT (cause, source_id, feed_id) WHERE state <> 'RESOLVED' DO UPDATE"
            " SET last_seen_at = clock_timestamp(), evidence = excluded.evidence",
            [cause, source_id, feed_id, severity, json.dumps(evidence)],
        )


def report_once(
    *,
    cause: str,
    source_id: int,
    feed_id: int,
    severity: str,
    number: int,
    evidence: dict[str, Any],  # Any: JSON
) -> bool:
    """Tell of one numbered event of a feed, once, whatever became of its incident; return whether it was new.

    Numbers rise: an event below one that was told is not told any more.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quality_incident (cause, source_id, feed_id, state, severity, count, evidence)"
            " SELECT %s, %s, %s, 'OPEN', %s, 1, %s::jsonb WHERE NOT EXISTS (SELECT FROM quality_incident"
            " WHERE cause = %s AND feed_id = %s AND (evidence ->> 'number')::int8 >= %s)"
            " ON CONFLICT (cause, source_id, feed_id) WHERE state <> 'RESOLVED' DO UPDATE"
            " SET last_seen_at = clock_timestamp(), count = quality_incident.count + 1, evidence = excluded.evidence",
            [
                cause,
                source_id,
                feed_id,
                severity,
                json.dumps(evidence | {"number": number}),
                cause,
                feed_id,
                number,
            ],
        )
        return bool(cursor.rowcount)
