"""Leases: one poller for each source, fenced so that a poller that was replaced can commit nothing."""

import socket
from dataclasses import dataclass

from django.db import connection, transaction

from ingest.models import Lease
from tickhub.core.errors import TickhubError


class LeaseLost(TickhubError):
    """Another poller has taken the source over: this one must stop."""


class LeaseHeld(TickhubError):
    """Another poller holds the source and its lease has not expired."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lease as its holder knows it."""

    source_id: int
    fence: int
    ttl_ms: int
    # When the holder before was last heard of, if it ended without giving the lease back; UTC.
    silent_from_msc: int | None = None


@dataclass(frozen=True, slots=True)
class Expired:
    """A lease that nobody renewed in time, and since when by the database's clock; ``source`` is a name."""

    source: str
    holder: str
    expired_s: float


def holder_of(pid: int) -> str:
    """Return what a process of this machine calls itself."""
    return f"{socket.gethostname()} pid {pid}"


def expired() -> list[Expired]:
    """Return the leases that have expired. One that was given back has expired since 1970."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.name, l.holder, extract(epoch FROM clock_timestamp() - l.expires_at)::float8"
            " FROM ingest_lease l JOIN reference_source s ON s.id = l.source_id"
            " WHERE l.expires_at < clock_timestamp() ORDER BY s.name"
        )
        return [Expired(*row) for row in cursor.fetchall()]


def acquire(*, source_id: int, holder: str, ttl_ms: int) -> Held:
    """Take the source's lease with the next fence.

    :raises LeaseHeld: if another holder's lease has not expired
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ingest_lease (source_id, fence, holder, expires_at) VALUES (%s, 0, '', 'epoch')"
            " ON CONFLICT (source_id) DO NOTHING",
            [source_id],
        )
        cursor.execute(
            "UPDATE ingest_lease l SET fence = l.fence + 1, holder = %s,"
            " expires_at = clock_timestamp() + %s * interval '1 ms'"
            " FROM (SELECT source_id, expires_at FROM ingest_lease WHERE source_id = %s FOR UPDATE) before"
            " WHERE l.source_id = before.source_id AND l.expires_at < clock_timestamp() RETURNING l.fence,"
            " CASE WHEN before.expires_at > 'epoch' THEN (extract(epoch FROM before.expires_at) * 1000)::int8 END",
            [holder, ttl_ms, source_id],
        )
        row = cursor.fetchone()
    if row is None:
        msg = f"source {source_id}: held by {Lease.objects.get(pk=source_id).holder}"
        raise LeaseHeld(msg)
    fence, expired_msc = row
    silent_from_msc = None if expired_msc is None else expired_msc - ttl_ms
    return Held(source_id=source_id, fence=fence, ttl_ms=ttl_ms, silent_from_msc=silent_from_msc)


def renew(held: Held) -> None:
    """Prolong the lease, in the caller's transaction if there is one.

    :raises LeaseLost: if another fence has taken the source
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ingest_lease SET expires_at = clock_timestamp() + %s * interval '1 ms'"
            " WHERE source_id = %s AND fence = %s",
            [held.ttl_ms, held.source_id, held.fence],
        )
        if cursor.rowcount != 1:
            raise lost(held)


def cover(held: Held, covered_msc: int) -> None:
    """Record up to when (UTC) passes over the past have found nothing new: a later poller goes on from there.

    :raises LeaseLost: if another fence has taken the source
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ingest_lease SET covered_msc = %s WHERE source_id = %s AND fence = %s",
            [covered_msc, held.source_id, held.fence],
        )
        if cursor.rowcount != 1:
            raise lost(held)


def covered_msc(held: Held) -> int | None:
    """Return what was recorded last by :func:`cover`, None where nothing was."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT covered_msc FROM ingest_lease WHERE source_id = %s", [held.source_id])
        row = cursor.fetchone()
    return None if row is None else row[0]


def recast(*, source_id: int, covered_msc: int) -> None:
    """State by a corrected clock up to when the past is proven, in the caller's transaction; nobody polls meanwhile."""
    Lease.objects.filter(pk=source_id).update(covered_msc=covered_msc)


def covered_of(*, source_id: int) -> int | None:
    """Return up to when (UTC) a source's past is proven, None where that is not recorded."""
    return Lease.objects.filter(pk=source_id).values_list("covered_msc", flat=True).first()


def lost(held: Held) -> LeaseLost:
    """Return the error of a renewal that did not touch the lease."""
    return LeaseLost(f"source {held.source_id}: fence {held.fence} is no longer the newest")


def release(held: Held) -> None:
    """Give the lease back so that the next poller need not wait; nothing happens if it is lost already."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ingest_lease SET expires_at = 'epoch' WHERE source_id = %s AND fence = %s",
            [held.source_id, held.fence],
        )
