"""Reads of the inbox."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection
from django.db.models import Min

from ingest import payloads
from ingest.models import LATEST_SPAN_MSC, Cursor
from ingest.models import Batch as BatchRow
from tickhub.core import batch as core_batch
from tickhub.core import ticks as tick_arrays
from tickhub.core.batch import Part
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import Digest
from tickhub.core.errors import PermanentError
from tickhub.core.ticks import TICK_SIZE_BYTES, Ticks
from tickhub.reference import queries as reference

# Whether a batch has ticks within a period, as the index on the spans of batches answers it.
TOUCHES = (
    f"b.first_msc IS NOT NULL AND int8range(LEAST(b.first_msc, {LATEST_SPAN_MSC}),"
    f" LEAST(b.last_msc, {LATEST_SPAN_MSC}), '[]') && int8range(%s, %s)"
)


class PayloadGone(PermanentError):
    """Bytes that are needed to tell new ticks from captured ones were dropped."""


@dataclass(frozen=True, slots=True)
class Captured:
    """Captured ticks of one feed in the terminal's clock, sorted by time and seq."""

    ticks: Ticks
    seq: npt.NDArray[np.int16]


def waiting_count() -> int:
    """Return how many batches wait."""
    return BatchRow.objects.filter(status=BatchRow.Status.WAITING).count()


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the inbox: batches, the bytes of their ticks, and how long the oldest has waited."""

    batches: int
    size_bytes: int
    age_s: float


def backlog() -> Backlog:
    """Return what waits in the inbox now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), coalesce(sum(tick_count), 0),"
            " coalesce(extract(epoch FROM clock_timestamp() - min(captured_at)), 0)"
            " FROM ingest_batch WHERE status = 'WAITING'"
        )
        batches, ticks, age_s = cursor.fetchone()
    return Backlog(int(batches), int(ticks) * TICK_SIZE_BYTES, max(float(age_s), 0.0))


def failed_count() -> int:
    """Return how many batches are failed."""
    return BatchRow.objects.filter(status=BatchRow.Status.FAILED).count()


def newest_batch() -> int:
    """Return the id of the newest batch, 0 where there is none."""
    newest = BatchRow.objects.order_by("-pk").values_list("pk", flat=True).first()
    return newest or 0


def unsettled(*, source_id: int) -> tuple[int, int, int]:
    """Return how many batches of a source wait, are failed, and were stored with duplicates."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE status = 'WAITING'), count(*) FILTER (WHERE status = 'FAILED'),"
            " count(*) FILTER (WHERE jsonb_path_exists(outcome, '$[*].duplicates.*')) FROM ingest_batch"
            " WHERE source_id = %s",
            [source_id],
        )
        waiting, failed, duplicates = cursor.fetchone()
    return int(waiting), int(failed), int(duplicates)


def hours_of_source(*, source_id: int) -> dict[int, int]:
    """Return how many ticks a source's batches declare in each UTC hour (since 1970)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT hour.key::int8, sum((hour.value->>0)::int8) FROM ingest_batch b,"
            " jsonb_array_elements(b.parts) AS part, jsonb_each(part->'hours') AS hour WHERE b.source_id = %s"
            " GROUP BY 1",
            [source_id],
        )
        return {int(hour): int(count) for hour, count in cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Record:
    """What a batch's row says of its ticks; ``outcome`` is JSON as the pipeline wrote it."""

    batch_id: int
    poll_msc: int
    first_msc: int
    last_msc: int
    parts: tuple[Part, ...]
    outcome: list[dict[str, Any]]  # Any: JSON


def polls(*, batch_ids: list[int]) -> list[int]:
    """Return the UTC times of the polls that brought stored batches, by id."""
    rows = BatchRow.objects.filter(pk__in=batch_ids, status=BatchRow.Status.STORED).order_by("pk")
    return list(rows.values_list("poll_msc", flat=True))


def records(*, batch_ids: list[int]) -> list[Record]:
    """Return the records of stored batches, by id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, poll_msc, first_msc, last_msc, parts::text, outcome::text FROM ingest_batch"
            " WHERE id = ANY(%s::int8[]) AND status = 'STORED' ORDER BY id",
            [batch_ids],
        )
        return [
            Record(batch_id, poll, first, last, core_batch.parts_from_json(parts), json.loads(outcome))
            for batch_id, poll, first, last, parts, outcome in cursor.fetchall()
        ]


def waiting_batches(*, source_id: int) -> frozenset[int]:
    """Return the ids of a source's waiting batches."""
    rows = BatchRow.objects.filter(source_id=source_id, status=BatchRow.Status.WAITING).order_by("pk")
    return frozenset(rows.values_list("pk", flat=True))


def captured_between(
    *,
    source_id: int,
    from_msc: int,
    to_msc: int,
    status: str | None = None,
    feed_id: int | None = None,
    in_utc: bool = False,
) -> dict[int, Captured]:
    """Return what was captured of each feed of a source within ``[from_msc, to_msc)`` in UTC, from the batches' bytes.

    The ticks are in the terminal's clock, unless asked for in UTC.

    :raises PayloadGone: if the bytes of such a batch were dropped
    """
    found: dict[int, list[tuple[Ticks, npt.NDArray[np.int16]]]] = {}
    for parts, ticks, seq in _payloads_between(source_id, from_msc, to_msc, status):
        start = 0
        for part_feed_id, count, offset_ms in parts:
            rows, numbers = ticks[start : start + count], seq[start : start + count]
            start += count
            if feed_id not in (None, part_feed_id) or count == 0:
                continue
            times = rows["time_msc"] - offset_ms
            inside = (times >= from_msc) & (times < to_msc)
            if inside.any():
                rows = tick_arrays.shift(rows, -offset_ms) if in_utc else rows
                found.setdefault(part_feed_id, []).append((rows[inside], numbers[inside]))
    return {feed_id: _in_key_order(pieces) for feed_id, pieces in found.items()}


def captured_hours(*, source_id: int, feed_id: int, from_msc: int, to_msc: int) -> dict[int, Digest]:
    """Return the digest of what was captured of a feed in each UTC hour (since 1970) of ``[from_msc, to_msc)``.

    Added up from what the batches declare; the bounds are whole hours.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT hour.key::int8, sum((hour.value->>0)::int8), sum(('x' || (hour.value->>1))::bit(64)::int8),"
            " sum(('x' || (hour.value->>2))::bit(64)::int8)"
            " FROM ingest_batch b, jsonb_array_elements(b.parts) AS part, jsonb_each(part->'hours') AS hour"
            f" WHERE b.source_id = %s AND {TOUCHES} AND (part->>'feed')::int = %s"
            " GROUP BY 1",
            [source_id, from_msc, max(from_msc, to_msc), feed_id],
        )
        rows = cursor.fetchall()
    return {
        hour: Digest(int(count), int(sum1) % (1 << 64), int(sum2) % (1 << 64))
        for hour, count, sum1, sum2 in rows
        if from_msc <= hour * HOUR_MS < to_msc
    }


def _payloads_between(
    source_id: int, from_msc: int, to_msc: int, status: str | None
) -> Iterator[tuple[list[tuple[int, int, int]], Ticks, npt.NDArray[np.int16]]]:
    """Yield each batch's parts as ``(feed, count, offset_ms)`` with its ticks and their seq."""
    with payloads.binary_cursor() as cursor:
        cursor.execute(
            "SELECT b.parts::text, p.ticks, p.marks, b.id FROM ingest_batch b"
            " LEFT JOIN batch_payload p ON p.batch_id = b.id AND p.captured_on = b.captured_on"
            f" WHERE b.source_id = %s AND {TOUCHES}"
            " AND (%s::text IS NULL OR b.status = %s::text)"
            " ORDER BY b.id",
            [source_id, from_msc, max(from_msc, to_msc), status, status],
        )
        for parts, ticks, marks, batch_id in cursor:
            if ticks is None:
                msg = f"batch {batch_id}: its bytes are gone, so what it captured cannot be compared"
                raise PayloadGone(msg)
            seq, _ = core_batch.unpack_marks(marks)
            # All of a part is a dozen objects, and an hour holds many thousands.
            heads = [(part["feed"], part["count"], part["offset_ms"]) for part in json.loads(parts)]
            yield heads, tick_arrays.from_bytes(ticks), seq


def _in_key_order(pieces: list[tuple[Ticks, npt.NDArray[np.int16]]]) -> Captured:
    ticks = np.concatenate([piece[0] for piece in pieces])
    seq = np.concatenate([piece[1] for piece in pieces])
    order = np.lexsort((seq, ticks["time_msc"]))
    return Captured(ticks=ticks[order], seq=seq[order])


def context_of(*, feed_id: int, batch_id: int, size: int) -> Ticks:
    """Return the last ticks captured of a feed up to and with its newest batch, terminal clock, order of capture."""
    with payloads.binary_cursor() as cursor:
        cursor.execute(
            "SELECT b.parts::text, p.ticks, p.context FROM ingest_batch b"
            " JOIN batch_payload p ON p.batch_id = b.id AND p.captured_on = b.captured_on WHERE b.id = %s",
            [batch_id],
        )
        row = cursor.fetchone()
    if row is None:
        return tick_arrays.empty()
    ticks, context = tick_arrays.from_bytes(row[1]), tick_arrays.from_bytes(row[2])
    tick_start = context_start = 0
    found = [tick_arrays.empty()]
    # Several parts of one feed where a correction of the clock has cut it; the context is the first one's.
    for part in core_batch.parts_from_json(row[0]):
        tick_end, context_end = tick_start + part.count, context_start + part.context_count
        if part.feed_id == feed_id:
            found += [context[context_start:context_end], ticks[tick_start:tick_end]]
        tick_start, context_start = tick_end, context_end
    return np.concatenate(found)[-size:]


def captured_to(*, source_id: int) -> dict[int, int]:
    """Return the UTC millisecond of the newest captured tick of a source's feeds that have one, by id."""
    epochs = reference.epochs(source_id=source_id)
    rows = Cursor.objects.filter(feed__source_id=source_id).order_by("pk")
    return {row.pk: row.last_msc - epochs.of(row.epoch_id).offset_ms for row in rows}


def reached_msc(*, source_id: int) -> int | None:
    """Return the UTC millisecond of a source's newest cursor; None where nothing was captured."""
    rows = Cursor.objects.filter(feed__source_id=source_id).order_by("pk")
    return max((row.last_msc - reference.epoch_offset_ms(epoch_id=row.epoch_id) for row in rows), default=None)


def watermark_msc(*, feed_id: int, source_id: int) -> int | None:
    """Return up to which UTC millisecond a feed is complete, as far as its batches go; None before its first tick.

    One ms before the first tick of the source's earliest waiting batch, else the feed's cursor.
    """
    # The cursor first: a batch that commits in between then shows as waiting, and only lowers the answer.
    cursor = Cursor.objects.filter(pk=feed_id).first()
    waiting = BatchRow.objects.filter(source_id=source_id, status=BatchRow.Status.WAITING).aggregate(
        first=Min("first_msc")
    )["first"]
    if cursor is None:
        return None
    reached = cursor.last_msc - reference.epoch_offset_ms(epoch_id=cursor.epoch_id)
    return reached if waiting is None else min(reached, waiting - 1)


@dataclass(frozen=True, slots=True)
class Stability:
    """A source's connection over a period; ``link`` and ``circuit`` are the newest states."""

    source_id: int
    name: str
    polls: int
    polls_ok: int
    connected_ms: int
    ipc_lost_ms: int
    link_lost_ms: int
    hung_ms: int
    link: str
    circuit: str

    @property
    def observed_ms(self) -> int:
        """Return the time of which something is known."""
        return self.connected_ms + self.ipc_lost_ms + self.link_lost_ms + self.hung_ms

    @property
    def ratio(self) -> float:
        """Return the share of it in which the source was connected; 1 where nothing is known."""
        return self.connected_ms / self.observed_ms if self.observed_ms else 1.0


@dataclass(frozen=True, slots=True)
class Ages:
    """How old the newest ticks of a source were in its newest minutes with ticks, newest first; milliseconds."""

    source_id: int
    name: str
    polls: int
    smallest_ms: tuple[int, ...]
    median_ms: tuple[int, ...]


def ages(*, from_msc: int) -> list[Ages]:
    """Return the ages of every source with such minutes since a time (UTC), by id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT m.source_id, s.name, sum(m.polls_with_ticks),"
            " array_agg(m.smallest_age_ms ORDER BY m.minute_at DESC),"
            " array_agg(m.median_age_ms ORDER BY m.minute_at DESC) FROM ingest_connectionminute m"
            " JOIN reference_source s ON s.id = m.source_id WHERE m.minute_at >= to_timestamp(%s)"
            " AND m.smallest_age_ms IS NOT NULL GROUP BY m.source_id, s.name ORDER BY m.source_id",
            [from_msc // 1000],
        )
        return [
            Ages(source_id, name, int(polls), tuple(smallest), tuple(medians))
            for source_id, name, polls, smallest, medians in cursor.fetchall()
        ]


@dataclass(frozen=True, slots=True)
class AgentSeen:
    """When a source's agent was connected last: its newest minute with news of it, UTC.

    One that holds no valid token any more is not expected, nor is one that plays a recording, which ends.
    """

    source_id: int
    name: str
    is_connected: bool
    is_expected: bool
    seen_msc: int


def agents_seen() -> list[AgentSeen]:
    """Return every source whose agent was connected before, by id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.id, s.name, l.expires_at > clock_timestamp(), NOT s.is_replay AND EXISTS (SELECT"
            " FROM ingest_agenttoken t WHERE t.source_id = s.id AND t.revoked_at IS NULL),"
            " (extract(epoch FROM max(m.minute_at)) * 1000)::int8 FROM reference_source s"
            " JOIN ingest_lease l ON l.source_id = s.id JOIN ingest_connectionminute m ON m.source_id = s.id"
            " WHERE s.scheme = 'agent' GROUP BY s.id, s.name, l.expires_at ORDER BY s.id"
        )
        return [AgentSeen(*row) for row in cursor.fetchall()]


def stability(*, from_msc: int) -> list[Stability]:
    """Return the stability of every source with minutes since a time (UTC), by id.

    A poller that ended without giving its lease back, and was not followed, is hung since that expired.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT m.source_id, s.name, sum(m.polls), sum(m.polls_ok), sum(m.connected_ms), sum(m.ipc_lost_ms),"
            " sum(m.link_lost_ms), sum(m.hung_ms) + coalesce(max(CASE WHEN l.expires_at > 'epoch' THEN"
            " greatest(extract(epoch FROM clock_timestamp() - l.expires_at) * 1000, 0) END), 0)::int8,"
            " (array_agg(m.link ORDER BY m.minute_at DESC))[1], (array_agg(m.circuit ORDER BY m.minute_at DESC))[1]"
            " FROM ingest_connectionminute m JOIN reference_source s ON s.id = m.source_id"
            " LEFT JOIN ingest_lease l ON l.source_id = m.source_id"
            " WHERE m.minute_at >= to_timestamp(%s) GROUP BY m.source_id, s.name ORDER BY m.source_id",
            [from_msc // 1000],
        )
        return [Stability(*row) for row in cursor.fetchall()]
