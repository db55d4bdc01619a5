"""The data folder: where the servers' files lie, who may enter them, and their passwords."""

import hashlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from tickhub.core.errors import UsageError
from tickhub.embedded import binaries
from tickhub.embedded import owner as owners
from tickhub.embedded.owner import Owner

# A Unix socket's whole path has room for 107 bytes; PostgreSQL adds "/.s.PGSQL.5432".
_SOCKET_PATH_BYTES_MAX = 90
_LOG_BYTES_MAX = 16 << 20
_SERVERS = ("postgres", "valkey")


def default_path() -> Path:
    """Return the folder used where none is given.

    :raises UsageError: if the user has no home folder
    """
    if given := os.environ.get("TICKHUB_DATA_DIR"):
        return Path(given)
    if os.geteuid() == 0:
        return binaries.SHARED_PATH
    if base := os.environ.get("XDG_DATA_HOME"):
        return Path(base) / "tickhub"
    try:
        return Path.home() / ".local" / "share" / "tickhub"
    except RuntimeError:
        msg = "the home folder is not known: give --data-dir or set TICKHUB_DATA_DIR"
        raise UsageError(msg) from None


class DataFolder:
    """One folder with the data of one PostgreSQL and one Valkey.

    Its parts lie in it, except where root's servers run as a user who cannot enter a parent of it.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        given = default_path() if path is None else Path(path)
        self.path = Path(os.path.expanduser(given)).resolve()
        self.lock_path = self.path / "lock"
        self.servers_path = self.path / "servers.json"
        self._parts = self.path
        self._owner: Owner | None = None

    @property
    def owner(self) -> Owner:
        """The user that the servers run as, known once the folder is open."""
        if self._owner is None:
            msg = f"data folder {self.path}: not opened"
            raise RuntimeError(msg)
        return self._owner

    def open(self) -> list[str]:
        """Make the folder, or check it; return what the user should be told, one line each.

        :raises UsageError: if it cannot be used
        """
        try:
            self.path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        except FileExistsError:
            raise UsageError(f"data folder {self.path}: is a file, expected a folder") from None
        except OSError as error:
            raise UsageError(f"data folder {self.path}: cannot be made: {error.strerror}") from error
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise UsageError(f"data folder {self.path}: this user may not write to it, choose another --data-dir")
        self._owner = owners.of_folder(self.path)
        notes = self._find_parts(self._owner)
        if not self._owner.can(self._parts, execute=True):
            # Passing through is enough for the servers; the files of this folder are for its user only.
            self._parts.chmod(self._parts.stat().st_mode | 0o011)
        return notes

    def _find_parts(self, owner: Owner) -> list[str]:
        """Decide where the servers' folders are; a folder once begun stays where it is."""
        link = self.path / _SERVERS[0]
        if link.is_symlink():
            self._parts = link.resolve().parent
            if not self._parts.is_dir():
                raise UsageError(f"data folder {self.path}: its data in {self._parts} is gone")
            return []
        barrier = owner.barrier(self.path)
        if barrier is None:
            return []
        closed = f"user {owner.name}, who runs PostgreSQL, cannot enter {barrier}"
        if link.exists():
            raise UsageError(f"data folder {self.path}: {closed}; move the folder, or run: chmod o+x {barrier}")
        self._parts = self._elsewhere()
        try:
            self._parts.mkdir(mode=0o711, parents=True, exist_ok=True)
            shared = self._parts.parent.parent
            shared.chmod(shared.stat().st_mode | 0o011)
            self._parts.parent.chmod(0o711)
            for name in _SERVERS:
                (self.path / name).symlink_to(self._parts / name)
        except OSError as error:
            raise UsageError(f"data folder {self.path}: {closed}, and {error.filename}: {error.strerror}") from error
        return [f"{closed}: the servers' files of {self.path} are kept in {self._parts}"]

    def _elsewhere(self) -> Path:
        # Never one that was there before: it may hold the data of a folder that had this path once.
        name = f"{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]}-{secrets.token_hex(4)}"
        return binaries.SHARED_PATH / "folders" / name

    def part(self, name: str) -> Path:
        """Return the path of a server's folder; it may not exist yet."""
        return self._parts / name

    def make_part(self, name: str) -> Path:
        """Return a folder that belongs to the servers' user and nobody else."""
        path = self.part(name)
        path.mkdir(mode=0o700, exist_ok=True)
        self.owner.own(path)
        return path

    def write_for_servers(self, path: Path, text: str) -> None:
        """Write a file that only the servers' user (and root) can read."""
        write_private(path, text)
        self.owner.own(path)

    def open_log(self, name: str) -> int:
        """Open a server's log for appending; a long one is put aside first."""
        path = self.log_path(name)
        if path.exists() and path.stat().st_size > _LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def log_path(self, name: str) -> Path:
        """Return the path of a server's log."""
        return self.path / f"{name}.log"

    def password(self, name: str) -> str:
        """Return a server's password, made at its first use and kept in a file of this user."""
        path = self.path / f"{name}.password"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32))
        return path.read_text()

    def socket_folder(self) -> Path:
        """Return the folder for Unix sockets: in the data folder, or a temporary one where that path is too long."""
        own = self.part("socket")
        if len(os.fsencode(own)) <= _SOCKET_PATH_BYTES_MAX:
            return self.make_part("socket")
        note = self.path / "socket.path"
        if note.exists() and (kept := Path(note.read_text())).is_dir() and kept.stat().st_uid == self.owner.uid:
            return kept
        # A random name: a foreseeable one in a folder that all can write to could be taken by somebody else.
        made = Path(tempfile.mkdtemp(prefix="tickhub-", dir="/tmp"))
        self.owner.own(made)
        note.write_text(str(made))
        return made

    def remove_socket_folder(self) -> None:
        """Remove the folder for Unix sockets, after the servers have stopped."""
        note = self.path / "socket.path"
        if note.exists():
            shutil.rmtree(note.read_text(), ignore_errors=True)
            note.unlink()
        shutil.rmtree(self.part("socket"), ignore_errors=True)

    def delete(self) -> None:
        """Remove the folder with all data. Its servers must be stopped."""
        self.remove_socket_folder()
        if self._parts != self.path:
            shutil.rmtree(self._parts)
        shutil.rmtree(self.path)


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by this user only."""
    making = path.with_name(f"{path.name}.making")
    making.unlink(missing_ok=True)
    descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    making.replace(path)
