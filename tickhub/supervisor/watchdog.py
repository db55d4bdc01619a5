"""Notices a poller that hangs: its heartbeat stops, or its own lease is not renewed while the database answers."""

from dataclasses import dataclass, field

from django.db import DatabaseError, connection

from ingest import heartbeat, leases
from tickhub.core import clock
from tickhub.supervisor.children import Child

_CHECK_S = 1.0
# A poller may need this long to find its connection again after the database was away.
_PATIENCE_S = 8.0


@dataclass(slots=True)
class Watchdog:
    """Remembers since when each poller's lease has been expired, by pid."""

    hung_after_s: float = heartbeat.HUNG_AFTER_S
    patience_s: float = _PATIENCE_S
    check_s: float = _CHECK_S
    _checked_s: float = 0.0
    _expired_since_s: dict[int, float] = field(default_factory=dict)

    def hung(self, pollers: list[Child]) -> list[tuple[Child, str]]:
        """Return the pollers that hang, and what tells so; looks once a second."""
        now_s = clock.monotonic_s()
        if now_s - self._checked_s < self.check_s:
            return []
        self._checked_s = now_s
        silent = {child.pid: child.pulse.silent_s() for child in pollers if child.pid and child.pulse}
        # A call that may take long has asked for its time: it cannot renew meanwhile, and has its patience afterwards.
        expired = self._expired([child for child in pollers if child.pid and silent.get(child.pid, 0.0) >= 0], now_s)
        found = []
        for child in pollers:
            if child.pid is None:
                continue
            silent_s = silent.get(child.pid, 0.0)
            if silent_s > self.hung_after_s:
                found.append((child, f"has been silent for {self.hung_after_s:g} s"))
            elif now_s - expired.get(child.pid, now_s) > self.patience_s:
                found.append((child, "has not renewed its lease"))
        return found

    def _expired(self, pollers: list[Child], now_s: float) -> dict[int, float]:
        """Return since when the lease of each poller has been seen expired; a released one has no end to wait for."""
        try:
            expired = leases.expired()
        except DatabaseError:
            # Without an answer nobody can renew: that is no poller's fault.
            connection.close()
            expired = []
        before, self._expired_since_s = self._expired_since_s, {}
        for child in pollers:
            # An earlier process may have had the same pid, on another machine or in a container before this one.
            if child.pid and any(
                lease.source == child.source
                and lease.holder == leases.holder_of(child.pid)
                and lease.expired_s < now_s - child.started_s
                for lease in expired
            ):
                self._expired_since_s[child.pid] = before.get(child.pid, now_s)
        return self._expired_since_s
