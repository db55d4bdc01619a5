"""Measures the host's clock where that can be done: what the kernel says of it, and how far it is from PostgreSQL's."""

import ctypes
import sys
from dataclasses import asdict, dataclass

from django.conf import settings
from django.db import connection

from quality import incidents
from quality.models import Incident
from tickhub.core import clock, metrics

_ROUND_TRIPS = 5
# <sys/timex.h>: what adjtimex returns for a clock that nobody keeps right, and the bit of its status that says so.
_TIME_ERROR, _STA_UNSYNC = 5, 0x40


class _Timex(ctypes.Structure):
    """``struct timex``: the fields up to those that are read, and room for the rest."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    ]


@dataclass(frozen=True, slots=True)
class KernelClock:
    """What the kernel says of its clock; errors in microseconds."""

    is_synchronised: bool
    error_us: int
    estimated_error_us: int


@dataclass(frozen=True, slots=True)
class Difference:
    """PostgreSQL's clock minus the host's, exact to ``within_ms``."""

    difference_ms: float
    within_ms: float


def of_kernel() -> KernelClock | None:
    """Ask the kernel; None where that cannot be done."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    timex = _Timex()
    state = adjtimex(ctypes.byref(timex))
    if state < 0:
        return None
    return KernelClock(state != _TIME_ERROR and not timex.status & _STA_UNSYNC, timex.maxerror, timex.esterror)


def of_database() -> Difference:
    """Compare PostgreSQL's clock with the host's, by the shortest of a few round trips.

    :raises django.db.DatabaseError: if the database failed
    """
    found = []
    with connection.cursor() as cursor:
        for _ in range(_ROUND_TRIPS):
            before_msc, before_s = clock.now_msc(), clock.monotonic_s()
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8 * 1000")
            theirs = float(cursor.fetchone()[0])
            passed_ms = (clock.monotonic_s() - before_s) * 1000
            # The host's time is known to the millisecond.
            found.append(Difference(theirs - before_msc - passed_ms / 2, passed_ms / 2 + 1))
    return min(found, key=lambda difference: difference.within_ms)


def watch() -> None:
    """Set the metrics, open and resolve HOST_CLOCK_UNSYNCED and HOST_CLOCK_OFF.

    :raises django.db.DatabaseError: if the database failed
    """
    judge(kernel=of_kernel(), database=of_database())


def judge(*, kernel: KernelClock | None, database: Difference) -> None:
    """Tell of the clock as it was measured. Raises as :func:`watch`."""
    if kernel is not None:
        metrics.HOST_CLOCK_SYNCHRONISED.set(kernel.is_synchronised)
        metrics.HOST_CLOCK_ERROR_SECONDS.set(kernel.error_us / 1e6)
        _tell("HOST_CLOCK_UNSYNCED", asdict(kernel), holds=not kernel.is_synchronised)
    metrics.HOST_CLOCK_DATABASE_SECONDS.set(database.difference_ms / 1000)
    is_off = abs(database.difference_ms) - database.within_ms > settings.HOST_CLOCK_OFF_MS
    evidence = {name: round(value, 1) for name, value in asdict(database).items()}
    _tell("HOST_CLOCK_OFF", evidence | {"allowed_ms": settings.HOST_CLOCK_OFF_MS}, holds=is_off)


def _tell(cause: str, evidence: dict[str, object], *, holds: bool) -> None:
    if holds:
        incidents.raise_condition(cause=cause, evidence=evidence, severity=Incident.Severity.WARNING)
    else:
        incidents.clear_condition(cause=cause)
