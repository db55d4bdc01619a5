"""The addresses of a folder's running servers, for other commands on this machine: ``<folder>/servers.json``."""

import contextlib
import fcntl
import json
import os
from pathlib import Path

from tickhub.embedded import processes
from tickhub.embedded.folder import write_private
from tickhub.embedded.locks import is_current


class Published:
    """A file that exists while the servers run. Its users hold a shared lock on it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._joined: int | None = None

    def write(self, urls: dict[str, str]) -> None:
        """Publish the addresses; they contain passwords, so only this user can read them."""
        write_private(self._path, json.dumps({"pid": os.getpid(), **urls}))

    def withdraw(self, *, wait_for_users: bool) -> None:
        """Remove the file, first waiting until no other command uses the servers, if asked to."""
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(self._path, os.O_RDONLY)
            try:
                if wait_for_users:
                    processes.wait_until(lambda: _lock(descriptor, fcntl.LOCK_EX), within_s=float("inf"))
                self._path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)

    def join(self) -> dict[str, str] | None:
        """Return the published addresses and keep their servers from ending, or None where none are published."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        # The lock is exclusive only while the servers' owner is about to stop them.
        if not _lock(descriptor, fcntl.LOCK_SH) or not is_current(self._path, descriptor):
            os.close(descriptor)
            return None
        self._joined = descriptor
        with open(descriptor, closefd=False) as file:
            facts = json.load(file)
        return {name: str(value) for name, value in facts.items() if name != "pid"}

    def leave(self) -> None:
        """Let the servers end."""
        if self._joined is not None:
            os.close(self._joined)
            self._joined = None


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
