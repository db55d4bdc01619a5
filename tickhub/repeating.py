"""Repeats what the database or a full disk broke off, for as long as it takes or until told to stop."""

import logging
import random
from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, connection

from ingest import cursors, heartbeat, leases
from ingest.gate import Closed
from ingest.poller import Poller
from tickhub.core import clock

logger = logging.getLogger(__name__)

# After an error at commit: first wait and longest wait, doubled in between, with full jitter.
_BACK_OFF_S = (0.1, 5.0)
# How often it is looked whether something may be saved again.
_CLOSED_S = 0.5

_T = TypeVar("_T")


def repeat(poller: Poller, action: Callable[[], int | None], should_stop: Callable[[], bool]) -> int:
    """Run an action; after a database error, or while nothing may be saved, wait, read the cursors again and repeat it.

    What a failed action left behind is remembered by the poller, so that no later one goes on from it.
    """
    wait_s = _BACK_OFF_S[0]
    while True:
        heartbeat.beat()
        try:
            poller.gate.check()
            if poller.is_stale:
                poller.load()
            poller.is_stale = True
            done = action() or 0
        except Closed:
            # The gate has told. The lease is kept, or the poller would be taken for one that hangs.
            wait_s = _CLOSED_S
            _keep_lease(poller)
        except (DatabaseError, InterfaceError, cursors.CursorMoved) as error:
            if not poller.gate.explains(error):
                logger.warning(
                    "poll rolled back", extra={"source": poller.target.name, "error": str(error).split("\n", 1)[0]}
                )
            connection.close()
        else:
            poller.is_stale = False
            poller.gate.passed()
            return done
        if should_stop():
            return 0
        clock.sleep(random.uniform(0, wait_s))  # noqa: S311  # jitter, no secret
        wait_s = min(wait_s * 2, _BACK_OFF_S[1])


def insist(action: Callable[[], _T], should_stop: Callable[[], bool], *, what: str) -> _T | None:
    """Run an action before there is a poller; after a database error wait and repeat it. None if told to stop.

    ``what`` says in the log what waits.
    """
    wait_s = _BACK_OFF_S[0]
    while True:
        heartbeat.beat()
        try:
            return action()
        except (DatabaseError, InterfaceError) as error:
            logger.warning(what, extra={"error": str(error).split("\n", 1)[0]})
            connection.close()
        if should_stop():
            return None
        clock.sleep(random.uniform(0, wait_s))  # noqa: S311  # jitter, no secret
        wait_s = min(wait_s * 2, _BACK_OFF_S[1])


def _keep_lease(poller: Poller) -> None:
    """Renew the lease where it is time to; a database that cannot is met by the next action."""
    if clock.monotonic_s() - poller.renewed_s <= poller.lease.ttl_ms / 5000:
        return
    try:
        leases.renew(poller.lease)
    except (DatabaseError, InterfaceError):
        connection.close()
    else:
        poller.renewed_s = clock.monotonic_s()
