"""The lock of a data folder: one set of servers at a time, held by the process that runs them."""

import contextlib
import fcntl
import json
import os
from pathlib import Path

from tickhub.core.errors import UsageError


class FolderBusy(UsageError):
    """Another process runs the servers of this folder."""


class FolderLock:
    """An flock on ``<folder>/lock``: the kernel frees it when its holder dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this process holds it."""
        return self._descriptor is not None

    def take(self, *, command: str) -> None:
        """Take the lock for this process, or refuse.

        :raises FolderBusy: if another process holds it
        """
        while self._descriptor is None:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise FolderBusy(self._refusal()) from None
            if not is_current(self._path, descriptor):
                # Its former holder removed the file after we had opened it.
                os.close(descriptor)
                continue
            os.truncate(descriptor, 0)
            os.write(descriptor, json.dumps({"pid": os.getpid(), "command": command}).encode())
            self._descriptor = descriptor

    def release(self) -> None:
        """Remove the file and give the lock back; nothing happens where it is not held."""
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def _refusal(self) -> str:
        holder = "another process"
        with contextlib.suppress(OSError, ValueError, KeyError):
            facts = json.loads(self._path.read_text())
            holder = f"process {facts['pid']} ({facts['command']})"
        return f"data folder {self._path.parent} is in use by {holder}: stop it, or choose another --data-dir"


def is_current(path: Path, descriptor: int) -> bool:
    """Return whether an open file is still the one that the path names."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
