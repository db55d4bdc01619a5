"""Reads of stored batches, to work through a period of them again."""

from collections.abc import Collection

from django.db import connection

from ingest import inbox, payloads
from ingest.inbox import BatchUnavailable
from ingest.queries import TOUCHES
from tickhub.core.batch import Batch

_READ = (
    "SELECT b.source_id, b.poll_msc, (extract(epoch FROM b.captured_at) * 1000)::int8, b.captured_on, b.parts::text,"
    " p.ticks, p.marks, p.context FROM ingest_batch b"
    " LEFT JOIN batch_payload p ON p.batch_id = b.id AND p.captured_on = b.captured_on"
    " WHERE b.id = %s AND b.status = 'STORED'"
)


def read(*, batch_id: int) -> Batch:
    """Read a stored batch from its bytes, by the clock that its parts name now.

    :raises ingest.inbox.BatchUnavailable: if it is not stored
    :raises ingest.inbox.BytesGone: if its bytes were dropped
    :raises ingest.inbox.BatchCorrupt: if they do not match their digests
    """
    with payloads.binary_cursor() as cursor:
        cursor.execute(_READ, [batch_id])
        row = cursor.fetchone()
    if row is None:
        msg = f"batch {batch_id}: not stored"
        raise BatchUnavailable(msg)
    source_id, poll_msc, captured_msc, captured_on, parts, *payload = row
    return inbox.read_row((batch_id, source_id, poll_msc, captured_msc), captured_on, parts, payload)


def ids_within(*, source_id: int, feed_ids: Collection[int], from_msc: int, to_msc: int) -> list[int]:
    """Return the stored batches of a source, ascending, with ticks within ``[from_msc, to_msc)`` and a part of one of
    the feeds."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT b.id FROM ingest_batch b WHERE b.source_id = %s AND {TOUCHES} AND b.status = 'STORED' AND EXISTS"
            " (SELECT FROM jsonb_array_elements(b.parts) AS part WHERE (part->>'feed')::int = ANY(%s)"
            " AND (part->>'count')::int > 0) ORDER BY b.id",
            [source_id, from_msc, max(from_msc, to_msc), list(feed_ids)],
        )
        return [int(row[0]) for row in cursor.fetchall()]
