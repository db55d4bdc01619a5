"""Holds a source's lease while its clock is corrected, from a thread with a connection of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, InterfaceError, connection

from ingest import leases
from ingest.leases import Held, LeaseHeld, LeaseLost
from tickhub.core import clock
from tickhub.core.errors import UsageError


@contextmanager
def held(*, source_id: int, name: str, holder: str, ttl_ms: int, wait_s: float) -> Iterator[Held]:
    """Hold the lease of a source; one that expires within ``wait_s`` (its holder died) is waited for.

    :raises UsageError: if its poller runs
    """
    lease = _acquire(source_id, name, holder, ttl_ms, wait_s)
    is_over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(lease, is_over), daemon=True, name="lease")
    keeper.start()
    try:
        yield lease
    finally:
        is_over.set()
        keeper.join()
        leases.release(lease)


def _acquire(source_id: int, name: str, holder: str, ttl_ms: int, wait_s: float) -> Held:
    until_s = clock.monotonic_s() + wait_s
    while True:
        try:
            return leases.acquire(source_id=source_id, holder=holder, ttl_ms=ttl_ms)
        except LeaseHeld as error:
            if clock.monotonic_s() >= until_s:
                msg = f"source {name}: {error}; stop its poller first, nothing was changed"
                raise UsageError(msg) from error
        clock.sleep(0.1)


def _keep(lease: Held, is_over: threading.Event) -> None:
    """Renew until told to stop. A lease that is lost is met by the next day's own renewal."""
    try:
        while not is_over.wait(lease.ttl_ms / 5000):
            try:
                leases.renew(lease)
            except LeaseLost:
                return
            except (DatabaseError, InterfaceError):
                connection.close()
    finally:
        connection.close()
