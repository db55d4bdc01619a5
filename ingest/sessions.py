"""How long database sessions may take: those whose client has gone deaf are ended, so that the batches they hold come
free; those of long work are told apart from them."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

# Between two statements of long work lie seconds; a client that is stopped still gives its locks back.
_LONG_IDLE_MS = 600_000

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


@contextmanager
def long_work(*, name: str) -> Iterator[None]:
    """Let this process's session take its time within the block, under a name that :func:`end_deaf` passes over.

    The session ends with the block: the next statement opens one under the ordinary limits.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('application_name', %s, false), set_config('statement_timeout', '0', false),"
            " set_config('idle_in_transaction_session_timeout', %s, false)",
            [f"tickhub {name}", str(_LONG_IDLE_MS)],
        )
    try:
        yield
    finally:
        connection.close()
