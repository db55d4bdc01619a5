"""The live figures of a running system, read from its own rows."""

from collections import deque
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.db import connection
from django.db.models import Q

from ingest.sources.spec import AgentSpec
from tickhub.core import clock
from tickhub.reference.models import Source

# Rows of a statement by source id. Any: their columns differ.
Rows: TypeAlias = dict[int, tuple[Any, ...]]


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
    flagged: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All sources of this run."""

    sources: tuple[SourceFigures, ...]


# Batches up to the boundary have their outcome: they are added up once. Those behind it are few, or wait.
_BOUNDARY = """
SELECT coalesce((SELECT min(id) - 1 FROM ingest_batch WHERE status = 'WAITING'), (SELECT max(id) FROM ingest_batch), 0),
       coalesce((SELECT max(id) FROM ingest_batch), 0)
"""
_SETTLED = """
SELECT b.source_id, sum(b.tick_count), count(*) FILTER (WHERE b.status = 'FAILED'),
       sum((SELECT coalesce(sum((part->>'flagged')::int8), 0) FROM jsonb_array_elements(b.outcome) AS part)),
       sum((SELECT count(*) FROM quality_quarantinedtick q WHERE q.batch_id = b.id))
FROM ingest_batch b WHERE b.id > %(after)s AND b.id <= %(upto)s GROUP BY 1
"""
_UNSETTLED = """
SELECT source_id, sum(tick_count), count(*) FILTER (WHERE status = 'WAITING'), count(*) FILTER (WHERE status = 'FAILED')
FROM ingest_batch WHERE id > %(after)s GROUP BY 1
"""
_RECENT = """
SELECT source_id, sum(tick_count),
       percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM stored_at - captured_at) * 1000)
FROM ingest_batch WHERE id > %(after)s GROUP BY 1
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


class Live:
    """The figures of a run, batch by batch: what a look costs does not grow with the run."""

    def __init__(self, *, names: list[str], after_batch: int, window_s: float) -> None:
        self.names = names
        self._window_s = window_s
        self._boundary = after_batch
        # Ids of the newest batch at earlier looks, to find where the window begins.
        self._looks: deque[tuple[float, int]] = deque([(clock.monotonic_s(), after_batch)])
        self._settled: dict[int, list[int]] = {}

    def look(self) -> Figures:
        """Return the figures now.

        :raises django.db.DatabaseError: if the database does not answer
        """
        with connection.cursor() as cursor:
            cursor.execute(_BOUNDARY)
            boundary, newest = cursor.fetchone()
            cursor.execute(_SETTLED, {"after": self._boundary, "upto": boundary})
            for source_id, *counts in cursor.fetchall():
                known = self._settled.setdefault(source_id, [0, 0, 0, 0])
                self._settled[source_id] = [old + int(new or 0) for old, new in zip(known, counts, strict=True)]
            self._boundary = max(boundary, self._boundary)
            cursor.execute(_UNSETTLED, {"after": self._boundary})
            unsettled = {row[0]: row[1:] for row in cursor.fetchall()}
            window_s, first = self._window(newest)
            cursor.execute(_RECENT, {"after": first})
            recent = {row[0]: row[1:] for row in cursor.fetchall()}
        # Agents come and go: those whose source is not named in this run are shown too.
        shown = Q(name__in=self.names) | Q(scheme=AgentSpec.scheme)
        sources = Source.objects.filter(shown).order_by("name").values_list("pk", "name")
        return Figures(tuple(self._source(pk, name, unsettled, recent, window_s) for pk, name in sources))

    def _window(self, newest: int) -> tuple[float, int]:
        """Return how long ago the window began, and the newest batch of that moment."""
        now_s = clock.monotonic_s()
        self._looks.append((now_s, newest))
        while len(self._looks) > 2 and now_s - self._looks[1][0] >= self._window_s:
            self._looks.popleft()
        began_s, first = self._looks[0]
        return max(now_s - began_s, 0.001), first

    def _source(self, pk: int, name: str, unsettled: Rows, recent: Rows, window_s: float) -> SourceFigures:
        captured, failed, flagged, quarantined = self._settled.get(pk, [0, 0, 0, 0])
        ticks, waiting, failed_now = unsettled.get(pk, (0, 0, 0))
        ticks_recently, latency = recent.get(pk, (0, None))
        return SourceFigures(
            name=name,
            ticks_per_s=float(ticks_recently or 0) / window_s,
            captured=captured + int(ticks or 0),
            p50_ms=latency[0] if latency else None,
            p99_ms=latency[1] if latency else None,
            waiting=int(waiting),
            failed=failed + int(failed_now),
            flagged=flagged,
            quarantined=quarantined,
        )


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
