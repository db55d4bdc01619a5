"""Reads of stored batches, to work through a period of them again."""

from collections.abc import Collection

from django.db import connection

from ingest import inbox, payloads
from ingest.inbox import BatchUnavailable
from ingest.queries import TOUCHES
from tickhub.core.batch import Batch
from tickhub.core.clock import HOUR_MS

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


# Of one step, so that a long history is worked through in many.
STEP_BATCHES = 20_000
# No statement runs that long: an id that no row has by then was rolled back.
_IN_FLIGHT_S = 900


def before_first() -> int:
    """Return the id before that of the first batch of all, 0 where there is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(min(id) - 1, 0) FROM ingest_batch")
        return int(cursor.fetchone()[0])


def settled_through(*, source_id: int, after_id: int) -> int:
    """Return up to which id every batch of a source is there and decided, at most one step behind ``after_id``.

    An id may be drawn and its batch not committed yet: such a hole ends what is settled until it is certain that
    nothing comes. A batch that waits ends it too.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH batches AS (SELECT id, source_id, status, coalesce(stored_at, captured_at) AS seen_at,"
            " lag(id, 1, %s::int8) OVER (ORDER BY id) AS previous FROM ingest_batch WHERE id > %s AND id <= %s)"
            " SELECT least(max(id), min(id) FILTER (WHERE source_id = %s AND status = 'WAITING') - 1,"
            " min(previous) FILTER (WHERE previous + 1 < id"
            " AND seen_at > clock_timestamp() - make_interval(secs => %s))) FROM batches",
            [after_id, after_id, after_id + STEP_BATCHES, source_id, _IN_FLIGHT_S],
        )
        found = cursor.fetchone()[0]
        if found is not None:
            return max(int(found), after_id)
        # Nothing in this step: behind a hole wider than one there may be more.
        cursor.execute("SELECT min(id) - 1 FROM ingest_batch WHERE id > %s", [after_id])
        following = cursor.fetchone()[0]
    return after_id if following is None else int(following)


def hours_between(*, source_id: int, after_id: int, through_id: int, before_msc: int) -> list[tuple[int, int]]:
    """Return the feeds and UTC hours (since 1970), each pair once, of which a source's batches with ids
    ``(after_id, through_id]`` hold ticks before an instant."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT (part->>'feed')::int, hour.key::int8 FROM ingest_batch b,"
            " jsonb_array_elements(b.parts) AS part, jsonb_each(part->'hours') AS hour"
            " WHERE b.id > %s AND b.id <= %s AND b.source_id = %s AND b.first_msc < %s ORDER BY 1, 2",
            [after_id, through_id, source_id, before_msc],
        )
        found = [(int(feed_id), int(hour)) for feed_id, hour in cursor.fetchall()]
    return [(feed_id, hour) for feed_id, hour in found if hour * HOUR_MS < before_msc]


def first_undecided_msc(*, source_id: int, from_msc: int) -> int | None:
    """Return the earliest tick (UTC) of a source's batches that wait or are failed, of those that begin at an instant
    or after it; None where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(first_msc) FROM ingest_batch WHERE source_id = %s AND status IN ('WAITING', 'FAILED')"
            " AND first_msc >= %s",
            [source_id, from_msc],
        )
        found = cursor.fetchone()[0]
    return None if found is None else int(found)


# A feed whose read was cut is read on at once: if nothing more has come for so long, there was nothing more.
_CATCHING_UP_S = 600


def catching_up(*, source_id: int) -> list[int]:
    """Return the feeds of a source of whose newest batch a page ended the read, a moment ago: there is more to come."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.feed_id FROM ingest_cursor c JOIN reference_feed f ON f.id = c.feed_id"
            " JOIN ingest_batch b ON b.id = c.last_batch_id WHERE f.source_id = %s"
            " AND b.captured_at > clock_timestamp() - make_interval(secs => %s) AND EXISTS"
            " (SELECT FROM jsonb_array_elements(b.parts) AS part"
            " WHERE (part->>'feed')::int = c.feed_id AND (part->>'cut')::bool) ORDER BY 1",
            [source_id, _CATCHING_UP_S],
        )
        return [int(row[0]) for row in cursor.fetchall()]
