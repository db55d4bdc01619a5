"""The live figures of a running system, read from its own rows."""

from dataclasses import dataclass
from typing import Any

from django.db import connection


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """One source over the last seconds: rates in ticks/s, latency from capture to stored mark in ms."""

    name: str
    ticks_per_s: float
    captured: int
    p50_ms: float | None
    p99_ms: float | None
    waiting: int
    failed: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All sources, and what was flagged and quarantined by this run."""

    sources: tuple[SourceFigures, ...]
    flagged: int
    quarantined: int


_SOURCES = """
SELECT s.name,
       coalesce(sum(b.tick_count) FILTER (WHERE b.captured_at > clock_timestamp() - %(window)s * interval '1 s'), 0),
       coalesce(sum(b.tick_count), 0),
       percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM b.stored_at - b.captured_at) * 1000)
           FILTER (WHERE b.captured_at > clock_timestamp() - %(window)s * interval '1 s'),
       count(*) FILTER (WHERE b.status = 'WAITING'),
       count(*) FILTER (WHERE b.status = 'FAILED')
FROM reference_source s LEFT JOIN ingest_batch b ON b.source_id = s.id AND b.id > %(after)s
WHERE s.name = ANY(%(names)s) GROUP BY s.name ORDER BY s.name
"""
_JUDGED = """
SELECT coalesce(sum((part->>'flagged')::bigint), 0),
       (SELECT count(*) FROM quality_quarantinedtick WHERE batch_id > %(after)s)
FROM ingest_batch b, jsonb_array_elements(b.outcome) AS part WHERE b.id > %(after)s AND b.status = 'STORED'
"""
_RUN = """
SELECT sum(tick_count), extract(epoch FROM max(stored_at) - min(captured_at)),
       percentile_cont(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (ORDER BY extract(epoch FROM stored_at - captured_at) * 1000)
FROM ingest_batch WHERE id > %(after)s AND tick_count > 0
"""


def newest_batch() -> int:
    """Return the id of the newest batch, 0 where there is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM ingest_batch")
        return int(cursor.fetchone()[0])


def live(*, names: list[str], after_batch: int, window_s: float) -> Figures:
    """Return the figures of sources over the last seconds, counting batches after a given one."""
    values: dict[str, Any] = {"names": names, "after": after_batch, "window": window_s}  # Any: values of a statement
    with connection.cursor() as cursor:
        cursor.execute(_SOURCES, values)
        found = [
            SourceFigures(
                name=name,
                ticks_per_s=float(recent) / window_s,
                captured=int(captured),
                p50_ms=latency[0] if latency else None,
                p99_ms=latency[1] if latency else None,
                waiting=waiting,
                failed=failed,
            )
            for name, recent, captured, latency, waiting, failed in cursor.fetchall()
        ]
        cursor.execute(_JUDGED, values)
        flagged, quarantined = cursor.fetchone()
    return Figures(tuple(found), int(flagged), int(quarantined))


def of_run(*, after_batch: int) -> dict[str, Any]:  # Any: JSON
    """Return ``captured_now``, ``elapsed_s``, ``ticks_per_s`` and ``latency_ms`` of the batches after a given one."""
    with connection.cursor() as cursor:
        cursor.execute(_RUN, {"after": after_batch})
        count, elapsed_s, latency = cursor.fetchone()
    elapsed_s = float(elapsed_s or 0)
    p50, p99, largest = (round(float(value), 3) for value in latency) if latency else (None, None, None)
    return {
        "captured_now": int(count or 0),
        "elapsed_s": round(elapsed_s, 3),
        "ticks_per_s": round(int(count or 0) / elapsed_s) if elapsed_s else None,
        "latency_ms": {"p50": p50, "p99": p99, "max": largest},
    }
