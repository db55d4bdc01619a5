"""The room on the database's disk: capture and workers stop while there is still enough for PostgreSQL itself.

PostgreSQL panics where it cannot write its log, and does not start again before there is room. So nothing is written
any more once less than a reserve is free. Where the disk cannot be seen from here, its own refusal (SQLSTATE 53100) is
all there is.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from ingest.gate import Closed
from tickhub.core import clock, metrics

_FRESH_S = 1.0
# How long after a refusal nothing is tried.
_REFUSED_S = 5.0
_DISK_FULL = "53100"


class DiskFull(Closed):
    """The disk of the database has less room than the reserve, or PostgreSQL has refused a write for lack of it."""


@dataclass(frozen=True, slots=True)
class Room:
    """What is known of the disk; ``free_bytes`` is None where it cannot be seen from here."""

    free_bytes: int | None
    is_full: bool
    reason: str = ""

    @property
    def state(self) -> str:
        """Return the name of the state."""
        if self.is_full:
            return "DISK_FULL"
        return "unknown" if self.free_bytes is None else "ok"


class Guard:
    """Looks at the disk at most once a second. Open again from a tenth above the reserve, so that it does not flap."""

    def __init__(self, *, reserve_bytes: int, folders: Callable[[], Sequence[str]]) -> None:
        self._reserve_bytes = reserve_bytes
        self._find_folders = folders
        self._folders: Sequence[str] | None = None
        self._looked_s = -_FRESH_S
        self._refused_until_s = 0.0
        self._free_bytes: int | None = None
        self._is_low = False

    def look(self) -> Room:
        """Return what is known, at most a second old.

        :raises django.db.DatabaseError: if the database has to be asked where its files are, and fails
        """
        now_s = clock.monotonic_s()
        if now_s - self._looked_s >= _FRESH_S:
            self._measure()
            self._looked_s = now_s
        if self._is_low and self._free_bytes is not None:
            free, reserve = self._free_bytes >> 20, self._reserve_bytes >> 20
            return Room(self._free_bytes, True, f"{free} MB free on the database's disk, reserve {reserve} MB")
        if now_s < self._refused_until_s:
            return Room(self._free_bytes, True, "PostgreSQL has no room on its disk")
        return Room(self._free_bytes, False)

    def check(self) -> None:
        """Let a write pass, or not.

        :raises DiskFull: with what is known
        """
        room = self.look()
        if room.is_full:
            raise DiskFull(room.reason)

    def explains(self, error: Exception) -> bool:
        """Return whether an error says that the disk is full; nothing is written for some seconds then."""
        if getattr(error.__cause__, "sqlstate", None) != _DISK_FULL:
            return False
        self._refused_until_s = clock.monotonic_s() + _REFUSED_S
        return True

    def _measure(self) -> None:
        if self._folders is None:
            self._folders = self._find_folders()
        found = [free for free in map(_free_bytes, self._folders) if free is not None]
        self._free_bytes = min(found, default=None)
        if self._free_bytes is None:
            self._is_low = False
            return
        limit = self._reserve_bytes * 11 // 10 if self._is_low else self._reserve_bytes
        self._is_low = self._free_bytes < limit
        metrics.DISK_FREE_BYTES.set(self._free_bytes)


def _free_bytes(folder: str) -> int | None:
    try:
        room = os.statvfs(folder)
    except OSError:
        return None
    return room.f_bavail * room.f_frsize


def database_folders() -> Sequence[str]:
    """Return where the database's files are, as far as they can be seen from here.

    A server that is reached by a Unix socket is on this machine, and tells its folder to whoever may know it.

    :raises django.db.DatabaseError: if it does not answer
    """
    if settings.DATABASE_FOLDER is not None:
        return [settings.DATABASE_FOLDER]
    if not str(connection.settings_dict["HOST"]).startswith("/"):
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'")
        row = cursor.fetchone()
    # The log may be on a disk of its own.
    return [] if row is None else [row[0], os.path.join(row[0], "pg_wal")]


_guards: list[Guard] = []


def guard() -> Guard:
    """Return this process's guard."""
    if not _guards:
        _guards.append(Guard(reserve_bytes=settings.DISK_RESERVE_MB << 20, folders=database_folders))
    return _guards[0]


def forget_guard() -> None:
    """Make the next use look anew, after the settings or the database changed."""
    _guards.clear()
