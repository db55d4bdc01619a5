"""Watches what may overflow: one incident for each cause, opened above a high-water mark, resolved below its half."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings

from ingest import queries
from quality import incidents
from tickhub import disk
from tickhub.core import metrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Level:
    """One figure with its high-water mark. Between the mark and its half nothing changes."""

    cause: str
    value: float
    high: float

    @property
    def low(self) -> float:
        """Return below which the cause is over."""
        return self.high / 2


def watch() -> None:
    """Measure the inbox and the disk, set the metrics, open and resolve incidents; several processes may at once.

    :raises django.db.DatabaseError: if the database failed
    """
    for level in _levels():
        if level.value > level.high:
            _raise(level)
        elif level.value < level.low and incidents.clear_condition(cause=level.cause):
            logger.info("backlog is low again", extra={"cause": level.cause, "value": round(level.value, 1)})
    # Last: a database without room refuses this, and the others have been told by then.
    _watch_disk()


def _watch_disk() -> None:
    room = disk.guard().look()
    if room.is_full:
        evidence = {"reason": room.reason, "free_bytes": room.free_bytes}
        incidents.raise_condition(cause="DISK_FULL", evidence=evidence)
    else:
        incidents.clear_condition(cause="DISK_FULL")


def _levels() -> Iterator[Level]:
    backlog = queries.backlog()
    metrics.BACKLOG_BATCHES.set(backlog.batches)
    metrics.BACKLOG_BYTES.set(backlog.size_bytes)
    metrics.BACKLOG_AGE_SECONDS.set(backlog.age_s)
    yield Level("BACKLOG_BATCHES", backlog.batches, settings.BACKLOG_BATCHES_HIGH)
    yield Level("BACKLOG_BYTES", backlog.size_bytes, settings.BACKLOG_MB_HIGH << 20)
    yield Level("BACKLOG_AGE", backlog.age_s, settings.BACKLOG_AGE_S_HIGH)


def _raise(level: Level) -> None:
    evidence = {"value": round(level.value, 1), "high": level.high, "low": level.low}
    if incidents.raise_condition(cause=level.cause, evidence=evidence):
        logger.warning("backlog above its high-water mark", extra={"cause": level.cause, **evidence})
