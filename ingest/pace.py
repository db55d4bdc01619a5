"""Reads of how sources were captured lately: how long their batches took to be stored, and how many polls failed."""

from dataclasses import dataclass

from django.db import connection

# A window's batches are among the newest, as ids rise with time; more than these in a minute are not looked at.
_NEWEST = 20_000
_STEADY_MINUTES = 3


@dataclass(frozen=True, slots=True)
class Delay:
    """From capture to store, of the batches of a source captured lately; one that waits counts by its age so far.

    ``is_steady``: it was polled three minutes ago too, so that no start is under way.
    """

    batches: int
    waiting: int
    p95_ms: int
    is_steady: bool


def delays(*, within_s: int) -> dict[int, Delay]:
    """Return the delay of each source with batches captured within the last seconds, by id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT source_id, count(*), count(*) FILTER (WHERE stored_at IS NULL),"
            " percentile_disc(0.95) WITHIN GROUP (ORDER BY coalesce(stored_at, clock_timestamp()) - captured_at),"
            " EXISTS (SELECT FROM ingest_connectionminute m WHERE m.source_id = b.source_id AND m.polls > 0"
            " AND m.minute_at = date_trunc('minute', clock_timestamp()) - make_interval(mins => %s))"
            " FROM (SELECT source_id, status, captured_at, stored_at FROM ingest_batch ORDER BY id DESC LIMIT %s) b"
            " WHERE captured_at >= clock_timestamp() - make_interval(secs => %s) AND status <> 'FAILED'"
            " GROUP BY source_id ORDER BY source_id",
            [_STEADY_MINUTES, _NEWEST, within_s],
        )
        return {
            source_id: Delay(batches, waiting, round(p95.total_seconds() * 1000), is_steady)
            for source_id, batches, waiting, p95, is_steady in cursor.fetchall()
        }


@dataclass(frozen=True, slots=True)
class Failures:
    """Polls of a source, and those of them in which a read failed: lately, and in the time before."""

    polls: int
    failed: int
    polls_before: int
    failed_before: int

    @property
    def percent(self) -> float:
        """Return how many of a hundred polls failed lately; 0 where there was none."""
        return 100 * self.failed / self.polls if self.polls else 0.0

    @property
    def percent_before(self) -> float:
        """Return how many of a hundred failed before."""
        return 100 * self.failed_before / self.polls_before if self.polls_before else 0.0


def failures(*, minutes: int, minutes_before: int) -> dict[int, Failures]:
    """Return the failures of each source with connection minutes in the last ones or those before them, by id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH edge AS (SELECT date_trunc('minute', clock_timestamp()) - make_interval(mins => %s) AS at)"
            " SELECT source_id, coalesce(sum(polls) FILTER (WHERE minute_at > at), 0)::int8,"
            " coalesce(sum(polls - polls_ok) FILTER (WHERE minute_at > at), 0)::int8,"
            " coalesce(sum(polls) FILTER (WHERE minute_at <= at), 0)::int8,"
            " coalesce(sum(polls - polls_ok) FILTER (WHERE minute_at <= at), 0)::int8"
            " FROM ingest_connectionminute, edge WHERE minute_at > at - make_interval(mins => %s)"
            " GROUP BY source_id ORDER BY source_id",
            [minutes, minutes_before],
        )
        return {source_id: Failures(*counts) for source_id, *counts in cursor.fetchall()}
