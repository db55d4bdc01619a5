"""What health/ reports: each server's answer, the backlog, and failed batches."""

from typing import Any

import redis
from django.db import DatabaseError, connection

from ingest import queries
from storage import latest


def report() -> dict[str, Any]:  # Any: JSON
    """Ask PostgreSQL and Redis; a server that does not answer is named with its error's class."""
    found: dict[str, Any] = {
        "postgresql": "ok",
        "redis": "ok",
        "waiting_batches": None,
        "failed_batches": None,
    }  # as above
    try:
        found["waiting_batches"] = queries.waiting_count()
        found["failed_batches"] = queries.failed_count()
    except DatabaseError as error:
        connection.close()
        found["postgresql"] = type(error).__name__
    try:
        latest.client().ping()
    except redis.RedisError as error:
        found["redis"] = type(error).__name__
    is_ok = found["postgresql"] == "ok" and found["redis"] == "ok"
    return {"status": "ok" if is_ok else "failing", **found}
