"""Reads of how sources are connected: now, and when they were not."""

from dataclasses import dataclass

from django.db import connection

from tickhub.core.clock import MINUTE_MS


@dataclass(frozen=True, slots=True)
class LinkSeen:
    """A source's connection as it was noted last, in the minute of ``seen_msc`` (UTC); ``is_held``: it is captured."""

    source_id: int
    link: str
    seen_msc: int
    is_held: bool


def links() -> list[LinkSeen]:
    """Return the newest state of the connection of every source that was captured before, by id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.id, m.link, (extract(epoch FROM m.minute_at) * 1000)::int8,"
            " coalesce(l.expires_at > clock_timestamp(), false) FROM reference_source s"
            " CROSS JOIN LATERAL (SELECT link, minute_at FROM ingest_connectionminute WHERE source_id = s.id"
            " ORDER BY minute_at DESC LIMIT 1) m LEFT JOIN ingest_lease l ON l.source_id = s.id ORDER BY s.id"
        )
        return [LinkSeen(*row) for row in cursor.fetchall()]


def lost_minutes(*, source_id: int, from_msc: int, to_msc: int) -> list[tuple[int, int, str]]:
    """Return when a source was not connected within ``[from_msc, to_msc)``: ``(from_msc, to_msc, how)``, ascending.

    By whole UTC minutes: one in which it was lost for longer than connected, or of which nothing is noted though an
    earlier one is. Times from before the first minute that is kept are not known, and not told.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (extract(epoch FROM minute.at) * 1000)::int8, CASE WHEN m.minute_at IS NULL THEN 'UNCAPTURED'"
            " WHEN m.link_lost_ms >= greatest(m.ipc_lost_ms, m.hung_ms) THEN 'LINK_LOST'"
            " WHEN m.ipc_lost_ms >= m.hung_ms THEN 'IPC_LOST' ELSE 'HUNG' END"
            " FROM generate_series(date_trunc('minute', to_timestamp(%s / 1000.0)), to_timestamp((%s - 1) / 1000.0),"
            " interval '1 minute') AS minute (at)"
            " LEFT JOIN ingest_connectionminute m ON m.source_id = %s AND m.minute_at = minute.at"
            " WHERE minute.at > (SELECT min(k.minute_at) FROM ingest_connectionminute k WHERE k.source_id = %s)"
            " AND (m.minute_at IS NULL OR m.ipc_lost_ms + m.link_lost_ms + m.hung_ms > m.connected_ms)"
            " ORDER BY minute.at",
            [from_msc, to_msc, source_id, source_id],
        )
        rows = [(int(minute), str(how)) for minute, how in cursor.fetchall()]
    found: list[tuple[int, int, str]] = []
    for minute, how in rows:
        if found and found[-1][1:] == (minute, how):
            found[-1] = (found[-1][0], minute + MINUTE_MS, how)
        else:
            found.append((minute, minute + MINUTE_MS, how))
    return found
