"""Adds up what the stations say of themselves: captured, stored, quarantined, duplicates, failed, waiting, by feed and
UTC hour, from the rows that each station wrote in its own transaction."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field

from django.db import connection

from ingest import queries
from tickhub.core import digest
from tickhub.core.digest import Digest

Hours = dict[int, Digest]

_MOD = 1 << 64
# The sums of a digest stand as 16 hexadecimal digits; PostgreSQL adds them as numbers without a bound.
_ADD_UP = """
SELECT (part->>'feed')::int, hour.key::bigint, sum((hour.value->>0)::bigint),
       sum(('x' || (hour.value->>1))::bit(64)::bigint), sum(('x' || (hour.value->>2))::bit(64)::bigint)
FROM ingest_batch b, jsonb_array_elements({column}) AS part, jsonb_each(part->%s) AS hour
WHERE b.source_id = %s AND (%s::text IS NULL OR b.status = %s){within}
GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class FeedLedger:
    """One feed's stations, each by UTC hour (since 1970)."""

    captured: Hours = field(default_factory=dict)
    stored: Hours = field(default_factory=dict)
    held: Hours = field(default_factory=dict)
    duplicates: Hours = field(default_factory=dict)
    failed: Hours = field(default_factory=dict)
    waiting: Hours = field(default_factory=dict)


def of_source(
    source_id: int,
    *,
    from_msc: int | None = None,
    to_msc: int | None = None,
    stations: Collection[str] = FeedLedger.__slots__,
) -> dict[int, FeedLedger]:
    """Return the ledgers of a source's feeds, by feed id; of others than the named stations they hold nothing.

    With a period only batches with ticks in it are added up: its whole hours are complete, hours beside it are not.
    """
    ledgers: dict[int, FeedLedger] = {}
    period = [] if from_msc is None or to_msc is None else [from_msc, to_msc]
    within = f" AND {queries.TOUCHES}" if period else ""
    for station, column, key, status in (
        ("captured", "b.parts", "hours", None),
        ("failed", "b.parts", "hours", "FAILED"),
        ("waiting", "b.parts", "hours", "WAITING"),
        ("stored", "b.outcome", "stored", "STORED"),
        ("held", "b.outcome", "held", "STORED"),
        ("duplicates", "b.outcome", "duplicates", "STORED"),
    ):
        if station not in stations:
            continue
        with connection.cursor() as cursor:
            cursor.execute(_ADD_UP.format(column=column, within=within), [key, source_id, status, status, *period])
            for feed_id, hour, count, sum1, sum2 in cursor.fetchall():
                hours = getattr(ledgers.setdefault(feed_id, FeedLedger()), station)
                hours[hour] = Digest(int(count), int(sum1) % _MOD, int(sum2) % _MOD)
    return ledgers


def flagged(source_id: int, feed_ids: list[int]) -> int:
    """Return how many ticks of feeds of a source, at any time, carry a flag that is more than information."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum((part->>'flagged')::bigint), 0) FROM ingest_batch b,"
            " jsonb_array_elements(b.outcome) AS part WHERE b.source_id = %s AND b.status = 'STORED'"
            " AND (part->>'feed')::int = ANY(%s)",
            [source_id, feed_ids],
        )
        return int(cursor.fetchone()[0])


def judged_by(source_id: int, feed_id: int, *, from_msc: int, to_msc: int) -> list[list[int]]:
    """Return what the batches with ticks in a period were judged by, each once: see :mod:`tickhub.judging`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT part->'judged' FROM ingest_batch b, jsonb_array_elements(b.outcome) AS part"
            f" WHERE b.source_id = %s AND {queries.TOUCHES} AND (part->>'feed')::int = %s AND part ? 'judged'",
            [source_id, from_msc, to_msc, feed_id],
        )
        return sorted(json.loads(row[0]) if isinstance(row[0], str) else row[0] for row in cursor.fetchall())


def total(hours: Hours) -> int:
    """Return the count of all hours."""
    return digest.total(hours.values()).count


def add(*many: Hours) -> Hours:
    """Add hours up."""
    found: Hours = {}
    for hours in many:
        for hour, value in hours.items():
            found[hour] = found.get(hour, digest.ZERO) + value
    return found
