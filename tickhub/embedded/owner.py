"""The operating system's user that the servers run as: oneself, or for root another one (PostgreSQL refuses root)."""

import contextlib
import ctypes
import os
import pwd
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tickhub.core.errors import UsageError

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1
# Nothing of the caller's: PGPORT or PGDATA would change where the server listens or what it opens.
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Owner:
    """The user of the servers. ``switches`` is true where root has to become that user first."""

    name: str
    uid: int
    gid: int
    switches: bool

    def own(self, path: Path) -> None:
        """Give a file or folder to this user."""
        if self.switches:
            os.chown(path, self.uid, self.gid)

    def can(self, path: Path, *, execute: bool) -> bool:
        """Return whether the mode of one file or folder lets this user execute (enter) it, else read it."""
        found = path.stat()
        if found.st_uid == self.uid:
            wanted = stat.S_IXUSR if execute else stat.S_IRUSR
        elif found.st_gid == self.gid:
            wanted = stat.S_IXGRP if execute else stat.S_IRGRP
        else:
            wanted = stat.S_IXOTH if execute else stat.S_IROTH
        return bool(found.st_mode & wanted)

    def barrier(self, path: Path) -> Path | None:
        """Return the outermost parent folder that this user cannot enter, None where all can be."""
        if not self.switches:
            return None
        return next((folder for folder in reversed(path.parents) if not self.can(folder, execute=True)), None)

    def spawn(self, command: Sequence[str], *, log: int, death_signal: signal.Signals) -> subprocess.Popen[bytes]:
        """Start a child in its own session, with a signal that reaches it when this process dies.

        Linux ties that signal to the *thread* that starts the child: call this from one that lives on.

        :raises UsageError: if the program cannot be run as this user
        """
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",  # the caller's folder may be closed to this user
                env=_ENVIRONMENT,
                # Ctrl-C in the terminal is for the parent, which stops its children in order.
                start_new_session=True,
                preexec_fn=_die_with_parent(death_signal),
                umask=0o077,
                user=self.uid if self.switches else None,
                group=self.gid if self.switches else None,
                extra_groups=[] if self.switches else None,
            )
        except (OSError, subprocess.SubprocessError) as error:
            msg = f"{command[0]} cannot be run as user {self.name}: {error}"
            raise UsageError(msg) from error


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    parent = os.getpid()

    def arrange() -> None:
        # Runs in the child after it has changed its user, which would clear the request.
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the request
            os._exit(1)

    return arrange


def of_folder(folder: Path) -> Owner:
    """Return who runs the servers of a folder: its servers' present owner, else its own, else a user made for it.

    :raises UsageError: if there is no user to run them
    """
    uid = os.geteuid()
    if uid != 0:
        with contextlib.suppress(KeyError):
            return _owner(pwd.getpwuid(uid), switches=False)
        msg = f"user {uid} has no entry in the user database: PostgreSQL does not start for such a user"
        raise UsageError(msg)
    for path in (folder / "postgres", folder / "valkey", folder):
        with contextlib.suppress(FileNotFoundError, KeyError):
            if (present := path.stat().st_uid) != 0:
                return _owner(pwd.getpwuid(present), switches=True)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return _owner(pwd.getpwnam(name), switches=True)
    msg = "neither user postgres nor nobody exists: PostgreSQL refuses to run as root, create one of them"
    raise UsageError(msg)


def _owner(entry: pwd.struct_passwd, *, switches: bool) -> Owner:
    return Owner(entry.pw_name, entry.pw_uid, entry.pw_gid, switches)
