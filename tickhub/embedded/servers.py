"""The servers of one data folder: those that the environment does not give, started, watched and stopped together."""

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tickhub import env
from tickhub.core import clock
from tickhub.core.errors import UsageError
from tickhub.embedded.folder import DataFolder
from tickhub.embedded.locks import FolderLock
from tickhub.embedded.postgres import EmbeddedPostgres
from tickhub.embedded.published import Published
from tickhub.embedded.server import Server
from tickhub.embedded.valkey import EmbeddedValkey

_NAMES = ("DATABASE_URL", "REDIS_URL")
# After a crash PostgreSQL replays at most max_wal_size.
_READY_S = 300.0
_STOP_S = 8.0


def given_urls() -> dict[str, str]:
    """Return DATABASE_URL and REDIS_URL as far as the environment gives them, themselves or by ``_FILE``.

    :raises UsageError: if such a file cannot be read
    """
    return {name: url for name in _NAMES if (url := env.secret(name))}


class Servers:
    """Runs the missing servers as children of this process, from ``with`` to its end.

    The thread that starts them must live as long as they shall: the kernel ends them with it.
    """

    def __init__(self, folder: DataFolder, *, command: str = "", given: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.notes: list[str] = []
        self._command = command or f"pid {os.getpid()}"
        self._given = dict(given_urls() if given is None else given)
        self._running: dict[str, Server] = {}
        self._lock = FolderLock(folder.lock_path)
        self._published = Published(folder.servers_path)

    def __enter__(self) -> Self:
        self.start()
        self.publish()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the missing servers and wait until they take work.

        :raises FolderBusy: if another process runs the servers of this folder
        :raises UsageError: if the folder cannot be used or a server does not start
        """
        self.notes = self.folder.open()
        try:
            self._lock.take(command=self._command)
            for name in _NAMES:
                if name not in self._given:
                    server = self._make(name)
                    self._running[name] = server
                    server.start()
            for server in self._running.values():
                server.wait_ready(_READY_S)
        except OSError as error:
            self.stop()
            raise UsageError(f"data folder {self.folder.path}: {error.filename}: {error.strerror}") from error
        except BaseException:
            self.stop()
            raise

    def _make(self, name: str) -> Server:
        return EmbeddedPostgres(self.folder) if name == "DATABASE_URL" else EmbeddedValkey(self.folder)

    def publish(self) -> None:
        """Let other commands find the servers."""
        self._published.write({name: server.url() for name, server in self._running.items()})

    def environment(self) -> dict[str, str]:
        """Return DATABASE_URL and REDIS_URL, given or started here."""
        return self._given | {name: server.url() for name, server in self._running.items()}

    @property
    def postgres(self) -> EmbeddedPostgres | None:
        """The PostgreSQL that runs here, None where DATABASE_URL gives another."""
        server = self._running.get("DATABASE_URL")
        return server if isinstance(server, EmbeddedPostgres) else None

    @property
    def valkey(self) -> EmbeddedValkey | None:
        """The Valkey that runs here, None where REDIS_URL gives another."""
        server = self._running.get("REDIS_URL")
        return server if isinstance(server, EmbeddedValkey) else None

    def ensure_alive(self) -> list[str]:
        """Start a server that has died again, under the same URL and with back-off; return one line for each.

        It does not wait until that server is ready: clients try again, and the caller can go on watching.
        """
        lines = [server.revive() for server in self._running.values()]
        return [line for line in lines if line is not None]

    def withdraw(self, *, wait_for_users: bool) -> None:
        """Take the addresses back, first waiting until no other command uses them, if asked to."""
        if self._lock.is_held:
            self._published.withdraw(wait_for_users=wait_for_users)

    def stop(self) -> None:
        """Stop what runs here, within 10 s, and free the folder; a second call does nothing."""
        if not self._lock.is_held:
            return
        self._published.withdraw(wait_for_users=False)
        try:
            deadline_s = clock.monotonic_s() + _STOP_S
            for server in self._running.values():
                server.request_stop()
            for server in self._running.values():
                server.stop(deadline_s=deadline_s)
            self.folder.remove_socket_folder()
        finally:
            self._running.clear()
            self._lock.release()
