"""What health/ reports: each server's answer, the backlog, failed batches, untold incidents, and room on the disk."""

from typing import Any

import redis
from django.db import DatabaseError, connection

from ingest import queries
from quality.notifying import queries as notices
from storage import latest
from tickhub import disk, stops
from tickhub.reference import queries as reference


def report() -> dict[str, Any]:  # Any: JSON
    """Ask PostgreSQL and Redis; a server that does not answer is named with its error's class."""
    found: dict[str, Any] = {
        "postgresql": "ok",
        "redis": "ok",
        "waiting_batches": None,
        "failed_batches": None,
        "oldest_waiting_s": None,
        "oldest_untold_s": None,
        "disk": "unknown",
        "disk_free_bytes": None,
        "stopped_sources": {},
    }  # as above
    try:
        backlog = queries.backlog()
        found["waiting_batches"], found["oldest_waiting_s"] = backlog.batches, round(backlog.age_s, 1)
        found["failed_batches"] = queries.failed_count()
        found["oldest_untold_s"] = round(notices.oldest_untold_s(), 1)
        room = disk.guard().look()
        found["disk"], found["disk_free_bytes"] = room.state, room.free_bytes
        found["stopped_sources"] = stops.stopped(source.name for source in reference.sources())
    except DatabaseError as error:
        connection.close()
        found["postgresql"] = type(error).__name__
    try:
        latest.client().ping()
    except redis.RedisError as error:
        found["redis"] = type(error).__name__
    if found["stopped_sources"]:
        found["disk"] = "DISK_FULL"
    is_ok = found["postgresql"] == "ok" and found["redis"] == "ok" and found["disk"] != "DISK_FULL"
    return {"status": "ok" if is_ok else "failing", **found}
