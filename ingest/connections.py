"""How stable a source's connection is, and how old its newest ticks are, by minute. Sole writer of its table.

Written outside the transaction that saves ticks, by a statement of its own every ten seconds: what cannot be written
is kept and added to the next. It never holds up capture.
"""

import datetime as dt
import logging
from dataclasses import dataclass, fields
from statistics import median

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import Min

from ingest.models import ConnectionMinute
from ingest.sources.breaker import Circuit
from ingest.sources.terminal import Health, Link
from tickhub.audit import ledger
from tickhub.core import clock, metrics
from tickhub.core.clock import DAY_MS

logger = logging.getLogger(__name__)

MINUTE_MS = 60_000
WRITE_S = 10.0
KEPT_DAYS = 90
# Days removed by one call at the most: after a long pause many are due.
_DAYS_MOST = 14
_CIRCUITS = {Circuit.CLOSED: 0, Circuit.HALF_OPEN: 1, Circuit.OPEN: 2}

_ADD = """
INSERT INTO ingest_connectionminute AS known
    (source_id, minute_at, polls, polls_ok, connected_ms, ipc_lost_ms, link_lost_ms, hung_ms, polls_with_ticks,
     smallest_age_ms, median_age_ms, link, circuit, failures)
SELECT %s, to_timestamp(minute / 1000), polls, polls_ok, connected_ms, ipc_lost_ms, link_lost_ms, hung_ms,
       polls_with_ticks, smallest_age_ms, median_age_ms, %s, %s, %s
FROM unnest(%s::int8[], %s::int4[], %s::int4[], %s::int4[], %s::int4[], %s::int4[], %s::int4[], %s::int4[], %s::int8[],
            %s::int8[])
    AS added (minute, polls, polls_ok, connected_ms, ipc_lost_ms, link_lost_ms, hung_ms, polls_with_ticks,
              smallest_age_ms, median_age_ms)
ON CONFLICT (source_id, minute_at) DO UPDATE SET
    polls = known.polls + excluded.polls,
    polls_ok = known.polls_ok + excluded.polls_ok,
    connected_ms = known.connected_ms + excluded.connected_ms,
    ipc_lost_ms = known.ipc_lost_ms + excluded.ipc_lost_ms,
    link_lost_ms = known.link_lost_ms + excluded.link_lost_ms,
    hung_ms = known.hung_ms + excluded.hung_ms,
    polls_with_ticks = known.polls_with_ticks + excluded.polls_with_ticks,
    smallest_age_ms = least(known.smallest_age_ms, excluded.smallest_age_ms),
    median_age_ms = coalesce(excluded.median_age_ms, known.median_age_ms),
    link = excluded.link,
    circuit = excluded.circuit,
    failures = excluded.failures
"""


@dataclass(slots=True)
class Sums:
    """What a minute adds up to; in the order of the statement."""

    polls: int = 0
    polls_ok: int = 0
    connected_ms: int = 0
    ipc_lost_ms: int = 0
    link_lost_ms: int = 0
    hung_ms: int = 0
    polls_with_ticks: int = 0


class ConnectionLog:
    """Adds up the time of one source since the last note, in the state that the note tells."""

    def __init__(self, *, source_id: int, name: str) -> None:
        self._source_id = source_id
        self._name = name
        self._health = Health()
        self._noted_s = self._written_s = clock.monotonic_s()
        self._minutes: dict[int, Sums] = {}
        # Every age of the minute under way: a median is no sum.
        self._ages: dict[int, list[int]] = {}

    def note(self, health: Health, *, is_ok: bool, answers: bool, age_ms: int | None = None) -> None:
        """Note one poll: ``is_ok`` says that no read failed, ``answers`` that at least one did not fail.

        ``age_ms`` is the age of its newest new tick, None where it says nothing of the terminal's clock.
        """
        now_msc, now_s = clock.now_msc(), clock.monotonic_s()
        hung_ms = round((health.hung_s - self._health.hung_s) * 1000)
        passed_ms = max(round((now_s - self._noted_s) * 1000) - hung_ms, 0)
        self._noted_s, self._health = now_s, health
        self._add(now_msc - passed_ms, now_msc, _column(health.link, answers=answers))
        self._add(now_msc - passed_ms - hung_ms, now_msc - passed_ms, "hung_ms")
        sums = self._minutes.setdefault(now_msc // MINUTE_MS * MINUTE_MS, Sums())
        sums.polls += 1
        sums.polls_ok += is_ok
        if age_ms is not None:
            sums.polls_with_ticks += 1
            self._ages.setdefault(now_msc // MINUTE_MS * MINUTE_MS, []).append(age_ms)
        is_connected = health.link is Link.CONNECTED and answers
        metrics.SOURCE_CONNECTED.labels(self._name).set(is_connected)
        metrics.SOURCE_CIRCUIT.labels(self._name).set(_CIRCUITS[health.circuit])
        if now_s - self._written_s >= WRITE_S:
            self.write()

    def note_silence(self, *, from_msc: int) -> None:
        """Note that nobody polled since a time, though nobody said so: the last poller hung, or was killed."""
        now_msc = clock.now_msc()
        self._add(max(from_msc, now_msc - DAY_MS), now_msc, "hung_ms")

    def write(self) -> None:
        """Write what has been added up; where the database fails it is kept."""
        self._written_s = clock.monotonic_s()
        if not self._minutes:
            return
        health, minutes = self._health, sorted(self._minutes)
        columns: list[list[int | None]] = [
            [getattr(self._minutes[m], field.name) for m in minutes] for field in fields(Sums)
        ]
        ages = [self._ages.get(minute, []) for minute in minutes]
        columns.append([min(found, default=None) for found in ages])
        columns.append([round(median(found)) if found else None for found in ages])
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    _ADD,
                    [self._source_id, health.link.value, health.circuit.value, health.failures, minutes, *columns],
                )
        except (DatabaseError, InterfaceError) as error:
            logger.warning(
                "connection log not written", extra={"source": self._name, "error": str(error).split("\n", 1)[0]}
            )
            connection.close()
            return
        self._minutes.clear()
        under_way = clock.now_msc() // MINUTE_MS * MINUTE_MS
        self._ages = {minute: found for minute, found in self._ages.items() if minute >= under_way}

    def _add(self, start_msc: int, end_msc: int, column: str | None) -> None:
        if column is None or end_msc <= start_msc:
            return
        if column != "connected_ms":
            how = column.removesuffix("_ms")
            metrics.SOURCE_LOST_SECONDS.labels(self._name, how).inc((end_msc - start_msc) / 1000)
        while start_msc < end_msc:
            minute = start_msc // MINUTE_MS * MINUTE_MS
            stop = min(end_msc, minute + MINUTE_MS)
            sums = self._minutes.setdefault(minute, Sums())
            setattr(sums, column, getattr(sums, column) + stop - start_msc)
            start_msc = stop


def _column(link: Link, *, answers: bool) -> str | None:
    """Return where a time is added; a refused account is no connection at all, and ends its poller."""
    if link is Link.WRONG_ACCOUNT:
        return None
    if link is Link.LINK_LOST:
        return "link_lost_ms"
    return "connected_ms" if link is Link.CONNECTED and answers else "ipc_lost_ms"


def forget(*, now: dt.datetime) -> int:
    """Remove the minutes of UTC days longer ago than they are kept, the oldest day first; return how many rows.

    The intent stands in the audit ledger before; that it was done, in the transaction that does it.
    """
    today = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    removed = 0
    for _ in range(_DAYS_MOST):
        oldest = ConnectionMinute.objects.aggregate(oldest=Min("minute_at"))["oldest"]
        if oldest is None or oldest >= today - dt.timedelta(days=KEPT_DAYS):
            break
        start = oldest.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        removed += _forget_day(start)
    return removed


def _forget_day(start: dt.datetime) -> int:
    about = f"connection minutes of {start:%Y-%m-%d}"
    with transaction.atomic(durable=True):
        ledger.record(actor=ledger.SYSTEM, action="RETENTION_BEGUN", about=about, details={"kept_days": KEPT_DAYS})
    with transaction.atomic(durable=True):
        rows, _ = ConnectionMinute.objects.filter(
            minute_at__gte=start, minute_at__lt=start + dt.timedelta(days=1)
        ).delete()
        ledger.record(actor=ledger.SYSTEM, action="RETENTION_DONE", about=about, details={"rows": rows})
    return rows
