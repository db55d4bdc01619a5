"""Notices a poller that hangs: it runs, but its lease is not renewed while the database answers."""

from django.db import DatabaseError, connection

from ingest.models import Lease
from tickhub.core import clock
from tickhub.supervisor.children import Child

_CHECK_S = 1.0
# A poller may need this long to find its connection again after the database was away.
_PATIENCE_S = 8.0


class Watchdog:
    """Remembers since when each poller's lease has been expired."""

    def __init__(self) -> None:
        self._checked_s = 0.0
        self._expired_since_s: dict[int, float] = {}

    def hung(self, pollers: list[Child]) -> list[Child]:
        """Return the pollers whose lease has been expired for too long; looks once a second."""
        now_s = clock.monotonic_s()
        if now_s - self._checked_s < _CHECK_S:
            return []
        self._checked_s = now_s
        try:
            expired = {lease.holder for lease in Lease.objects.filter(expires_at__lt=clock.now()).order_by("pk")}
        except (DatabaseError, ValueError):
            # Without an answer nobody can renew: that is no poller's fault.
            connection.close()
            self._expired_since_s.clear()
            return []
        found = []
        for child in pollers:
            if child.pid is None or not any(holder.endswith(f" pid {child.pid}") for holder in expired):
                self._expired_since_s.pop(child.pid or 0, None)
            elif now_s - self._expired_since_s.setdefault(child.pid, now_s) > _PATIENCE_S:
                found.append(child)
        return found
