"""PostgreSQL in a data folder: one cluster, reached through a Unix socket only."""

import hashlib
import os
import shutil
import signal
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import psycopg

from tickhub.core.errors import UsageError
from tickhub.embedded import binaries, processes
from tickhub.embedded.folder import DataFolder
from tickhub.embedded.server import Server

_USER = "tickhub"
_PORT = 5432  # only names the socket's file


def _shared_buffers() -> str:
    """Return an eighth of this machine's memory, 128 MB to 2 GB.

    A burst that does not fit is written out by the very processes that store it.
    """
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20)
    return f"{min(max(memory_mb // 8, 128), 2048)}MB"


# On the command line they overrule postgresql.conf and postgresql.auto.conf: a folder cannot turn durability off.
_SETTINGS = {
    "listen_addresses": "",
    "port": str(_PORT),
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_level": "replica",
    "track_commit_timestamp": "on",
    "max_connections": "100",
    "shared_buffers": _shared_buffers(),
    "huge_pages": "try",
    "wal_buffers": "16MB",
    "min_wal_size": "1GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "5min",
    "checkpoint_completion_target": "0.9",
    # Compiling pays for minutes of analysis, not for the short statements here.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # stderr is the log file already.
    "logging_collector": "off",
}


class EmbeddedPostgres(Server):
    """The postmaster as a direct child (pg_ctl would put it out of sight)."""

    name = "postgres"
    stop_signal = signal.SIGINT  # a fast shutdown: connections are cut, a checkpoint is written
    _orphan_steps: ClassVar = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 2.0), (signal.SIGKILL, 5.0))
    _leftover_steps: ClassVar = ((signal.SIGQUIT, 2.0), (signal.SIGKILL, 5.0))

    def __init__(self, folder: DataFolder) -> None:
        super().__init__(folder)
        self._data = folder.part("postgres")
        self._socket_folder = folder.socket_folder()
        # Every process of the cluster shows this name in its title.
        self._cluster = "tickhub-" + hashlib.sha256(os.fsencode(self._data)).hexdigest()[:16]
        self._bin: Path | None = None

    @property
    def bin_path(self) -> Path:
        """The folder of PostgreSQL's programs that the servers' user can run."""
        if self._bin is None:
            self._bin = binaries.postgres_bin(self._folder.owner, spare=self._data.parent)
        return self._bin

    def url(self, database: str = _USER) -> str:
        """Return libpq's URL of a database, with the password."""
        password = quote(self._folder.password(self.name), safe="")
        host = quote(str(self._socket_folder), safe="")
        # The port is given because PGPORT of the environment would count otherwise.
        return f"postgresql://{_USER}:{password}@/{quote(database, safe='')}?host={host}&port={_PORT}"

    def prepare(self) -> list[str]:
        """Make the cluster if there is none; return the postmaster's command."""
        if not self._data.is_dir():
            self._initialise()
        settings = _SETTINGS | {
            "cluster_name": self._cluster,
            # A list in which commas separate and quotes protect.
            "unix_socket_directories": '"' + str(self._socket_folder).replace('"', '""') + '"',
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.bin_path / "postgres"), "-D", str(self._data), *options]

    def _initialise(self) -> None:
        """Run initdb beside the final place, so that a cluster is there whole or not at all."""
        making = self._data.with_name("postgres.making")
        shutil.rmtree(making, ignore_errors=True)
        self._folder.make_part(making.name)
        password_path = self._data.with_name("postgres.pwfile")
        self._folder.write_for_servers(password_path, self._folder.password(self.name))
        command = [str(self.bin_path / "initdb"), "-D", str(making), "-U", _USER, "-A", "scram-sha-256"]
        command += [f"--pwfile={password_path}", "--no-locale", "-E", "UTF8", "--no-instructions"]
        log = self._folder.open_log(self.name)
        try:
            status = self._folder.owner.spawn(command, log=log, death_signal=signal.SIGKILL).wait()
        finally:
            os.close(log)
            password_path.unlink()
        if status != 0:
            raise UsageError(f"initdb in {making} failed (exit code {status}): {self.complaint()}")
        making.rename(self._data)

    def clear(self) -> None:
        """End an orphaned postmaster, or the backends of a killed one, and remove their lock files."""
        if not processes.end(self._postmasters, steps=self._orphan_steps) or not processes.end(
            self._processes, steps=self._leftover_steps
        ):
            raise UsageError(f"postgres of {self._data} does not end: processes {self._processes()}")
        # A pid that is a zombie now, or another program's, would make the next start refuse.
        for path in (self._data / "postmaster.pid", *self._socket_folder.glob(".s.PGSQL.*")):
            path.unlink(missing_ok=True)

    def _postmasters(self) -> list[int]:
        # Its title is its command line still; those of its children are rewritten.
        return processes.carrying(f"cluster_name={self._cluster}", program="postgres")

    def _processes(self) -> list[int]:
        return processes.carrying(self._cluster, program="postgres")

    def answers(self) -> bool:
        """Return whether connections are taken; the database is there then."""
        try:
            with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=5) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_USER]).fetchone()
                if found is None:
                    connection.execute(f"CREATE DATABASE {_USER}")
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                path = self._folder.path / "postgres.password"
                raise UsageError(f"{path}: not the password of {self._data}, put the right one back") from error
            return False
        return True
