"""A stop of capture for lack of disk: told once when it begins and once when it ends, seen by all meanwhile."""

import datetime as dt
import logging
from collections.abc import Iterable

import redis
from django.db import DatabaseError, InterfaceError, connection

from ingest.gate import Gate
from quality import incidents
from storage import latest
from tickhub import disk
from tickhub.core import clock, metrics
from tickhub.disk import DiskFull, Guard

logger = logging.getLogger(__name__)

# What is announced is forgotten unless it is announced again: a poller that died says nothing.
_ANNOUNCE_EVERY_S, _FORGET_S = 3.0, 15
_KEY = "tickhub:stopped:"


class DiskGate(Gate):
    """Closed while the database's disk is full, for the poller of one source."""

    def __init__(self, *, source_id: int, name: str, guard: Guard) -> None:
        self._source_id = source_id
        self._name = name
        self._guard = guard
        self._stopped_at: dt.datetime | None = None
        self._reason = ""
        self._announced_s = 0.0
        self._untold: list[dict[str, object]] = []
        metrics.CAPTURE_STOPPED.labels(name).set(0)

    def check(self) -> None:
        """See :meth:`Gate.check`."""
        try:
            self._guard.check()
        except DiskFull as error:
            self._stop(str(error))
            raise

    def explains(self, error: Exception) -> bool:
        """See :meth:`Gate.explains`."""
        if not self._guard.explains(error):
            return False
        self._stop(str(error).split("\n", 1)[0])
        return True

    def passed(self) -> None:
        """See :meth:`Gate.passed`: a stop is over, and becomes an incident now that it can be stored."""
        if self._stopped_at is not None:
            self._resume(self._stopped_at)
        if self._untold:
            self._tell()

    def _stop(self, reason: str) -> None:
        if self._stopped_at is None:
            self._stopped_at, self._reason = clock.now(), reason
            metrics.CAPTURE_STOPPED.labels(self._name).set(1)
            logger.warning("capture stopped: DISK_FULL", extra={"source": self._name, "reason": reason})
        if clock.monotonic_s() - self._announced_s >= _ANNOUNCE_EVERY_S:
            self._announced_s = clock.monotonic_s()
            _announce(self._name, self._reason)

    def _resume(self, stopped_at: dt.datetime) -> None:
        now = clock.now()
        seconds = round((now - stopped_at).total_seconds(), 1)
        metrics.CAPTURE_STOPPED.labels(self._name).set(0)
        logger.info("capture resumed", extra={"source": self._name, "stopped_s": seconds})
        evidence = {"state": "DISK_FULL", "reason": self._reason, "stopped_at": stopped_at.isoformat()}
        self._untold.append(evidence | {"resumed_at": now.isoformat(), "stopped_s": seconds})
        self._stopped_at, self._announced_s = None, 0.0
        _announce(self._name, None)

    def _tell(self) -> None:
        try:
            while self._untold:
                incidents.raise_condition(cause="CAPTURE_STOPPED", source_id=self._source_id, evidence=self._untold[0])
                self._untold.pop(0)
        except (DatabaseError, InterfaceError) as error:
            connection.close()
            logger.warning("incident waits", extra={"source": self._name, "error": str(error).split("\n", 1)[0]})


def _announce(name: str, reason: str | None) -> None:
    """Let the other processes know; without Redis they see the log, the metric and the incident."""
    try:
        if reason is None:
            latest.client().delete(_KEY + name)
        else:
            latest.client().set(_KEY + name, reason, ex=_FORGET_S)
    except redis.RedisError as error:
        logger.warning("state not announced", extra={"source": name, "error": str(error)})


def stopped(names: Iterable[str]) -> dict[str, str]:
    """Return the sources whose capture has stopped, with the reason of each; none where Redis does not answer."""
    asked = list(names)
    try:
        found = latest.client().mget([_KEY + name for name in asked]) if asked else []
    except redis.RedisError:
        return {}
    return {name: _text(reason) for name, reason in zip(asked, found, strict=True) if reason is not None}


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def state(names: Iterable[str]) -> str | None:
    """Describe in a line that capture of some sources has stopped, None where none has."""
    reasons = stopped(names)
    if reasons:
        return f"DISK_FULL, capture stopped ({', '.join(sorted(reasons))}): {next(iter(reasons.values()))}"
    room = disk.guard().look()
    return f"DISK_FULL: {room.reason}" if room.is_full else None
