"""Ends database sessions whose client has gone deaf, so that the batches they hold come free."""

from django.db import connection

_END = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
  AND application_name = current_setting('application_name') AND wait_event = 'ClientRead'
  AND ((state = 'active' AND state_change < clock_timestamp() - %s * interval '1 ms')
    OR (state LIKE 'idle in transaction%%' AND state_change < clock_timestamp() - %s * interval '1 ms'))
"""


def end_deaf(*, statement_ms: int, idle_ms: int) -> int:
    """End the sessions of tickhub that have waited for their client longer than a timeout; return how many.

    PostgreSQL's own timeouts miss two cases: inside COPY FROM STDIN it obeys none while it waits for the client, and a
    Flush that psycopg sends behind a pipeline (``executemany``) disarms the one for idle transactions.
    """
    with connection.cursor() as cursor:
        cursor.execute(_END, [statement_ms, idle_ms])
        return int(cursor.fetchone()[0])
