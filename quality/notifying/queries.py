"""Reads of what is to be told."""

from django.db import connection


def oldest_untold_s() -> float:
    """Return how long ago the oldest event of an incident happened that no notifier has looked at; 0 without one.

    With a notifier at work it is a few seconds.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(extract(epoch FROM clock_timestamp() -"
            " min(greatest(opened_at, escalated_at, acknowledged_at, resolved_at))), 0)::float8"
            " FROM quality_incident WHERE events_noted < 1 + num_nonnulls(escalated_at, acknowledged_at, resolved_at)"
        )
        return max(float(cursor.fetchone()[0]), 0.0)
