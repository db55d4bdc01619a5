"""The system under torture: servers, the proxies before them, and the processes, kept running from run to run."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis
from django.core.management import call_command
from django.db import connection
from psycopg.conninfo import conninfo_to_dict

from tickhub.bench.torture import disk, nursery
from tickhub.bench.torture.nursery import Spawned
from tickhub.bench.torture.proxy import FaultProxy
from tickhub.bench.torture.ways import Play, Way
from tickhub.core import clock
from tickhub.core.errors import TickhubError, UsageError
from tickhub.embedded.folder import DataFolder
from tickhub.embedded.server import Server
from tickhub.embedded.servers import Servers

DISK_MB, RESERVE_MB = 1500, 64
# With less than this free a new world is begun: the disk is to be filled by faults only.
_ROOM_MB = 500
# The product's own settings, at the short end of what they allow, so that a run takes seconds.
_SETTINGS = {
    "TICKHUB_ENVIRONMENT": "local",
    "TICKHUB_LEASE_TTL_MS": "1000",
    "TICKHUB_PUBLISH_AGAIN_MS": "500",
    "TICKHUB_TASK_TIME_LIMIT_S": "5",
    "TICKHUB_STATEMENT_TIMEOUT_MS": "5000",
    "TICKHUB_IDLE_TRANSACTION_TIMEOUT_MS": "2000",
    "TICKHUB_DISK_RESERVE_MB": str(RESERVE_MB),
}
_RESTART_S = 0.2
# A poller whose lease has been expired for so long is replaced; `up` waits longer.
_PATIENCE_S = 1.5
_LOOK_S = 0.2
_READY_S = 60.0
# Exit codes after which `up` starts no other poller; a person may, after the first.
_REFUSED, _PERMANENT = 2, 4


class NotReady(TickhubError):
    """The servers do not take work again."""


@dataclass(slots=True)
class Capture:
    """What captures in the run under way: one process, and those that it replaced."""

    play: Play
    current: Spawned
    retired: list[Spawned] = field(default_factory=list)
    expired_since_s: float | None = None
    # Until then it is refused by its terminal, and is started again afterwards, as by a person; 0 where never.
    refused_until_s: float = 0.0
    is_over: bool = False
    # What ended it for good, which no fault explains.
    problem: str | None = None


class Stage:
    """One world at a time: a data folder on a disk of its own, its servers, worker and beat."""

    def __init__(self, base: Path, *, disk_problem: str | None) -> None:
        self.base = base
        self.disk_problem = disk_problem
        self.world = base / "disk" / "world"
        self.proxies = {name: FaultProxy(("127.0.0.1", 1)) for name in ("poller", "worker", "valkey", "bridge")}
        self.services: dict[str, Spawned] = {}
        self.capture: Capture | None = None
        self._servers: Servers | None = None
        self._died_s: dict[str, float] = {}
        self._looked_s = 0.0
        self._waiting: int | None = None

    @property
    def servers(self) -> dict[str, Server]:
        """The servers by name."""
        running = (self._servers.postgres, self._servers.valkey) if self._servers else ()
        return {server.name: server for server in running if server is not None}

    @property
    def ballast(self) -> Path:
        """The file that fills the disk."""
        return self.base / "disk" / "ballast"

    def prepare(self) -> None:
        """Make a migrated data folder to copy worlds from, and settle how processes find the servers."""
        pristine = self.base / "pristine"
        with Servers(DataFolder(pristine), command="bench capture-torture", given={}) as servers:
            urls = servers.environment()
            self._point_django(urls["DATABASE_URL"])
            call_command("migrate", verbosity=0, interactive=False)
            connection.close()
        parts = urlsplit(urls["DATABASE_URL"])
        port, valkey = self.proxies["poller"].port, urlsplit(urls["REDIS_URL"])
        nursery.open_with(
            _SETTINGS
            | {
                "DATABASE_URL": f"{parts.scheme}://{parts.netloc}{parts.path}?host=127.0.0.1&port={port}",
                "REDIS_URL": f"redis://:{valkey.password}@127.0.0.1:{self.proxies['valkey'].port}/0",
                "TICKHUB_DATABASE_FOLDER": str(self.base / "disk"),
                "TICKHUB_WORKERS": "2",
                "DJANGO_SETTINGS_MODULE": "tickhub.settings",
            }
        )

    def renew(self) -> None:
        """Begin a new world: fresh servers, worker and beat."""
        self.close()
        shutil.rmtree(self.world, ignore_errors=True)
        self.ballast.unlink(missing_ok=True)
        subprocess.run(["cp", "-a", str(self.base / "pristine"), str(self.world)], check=True)  # noqa: S607
        self._servers = Servers(DataFolder(self.world), command="bench capture-torture", given={})
        self._servers.start()
        urls = self._servers.environment()
        self._point_django(urls["DATABASE_URL"])
        facts = conninfo_to_dict(urls["DATABASE_URL"])
        socket_path = Path(str(facts["host"]), f".s.PGSQL.{facts['port']}")
        for name in ("poller", "worker"):
            self.proxies[name].target = socket_path
        self.proxies["valkey"].target = ("127.0.0.1", urlsplit(urls["REDIS_URL"]).port or 0)
        common = ["celery", "-A", "tickhub"]
        worker = [*common, "worker", "--queues=batches,keeping,notices", "--concurrency=2", "--hostname=worker@%h"]
        worker += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
        self.serve("worker", worker, proxy="worker")
        self.serve("beat", [*common, "beat", "--pidfile=", "--max-interval=1", "--loglevel=WARNING"], proxy="worker")

    def _point_django(self, url: str) -> None:
        """Let this process's Django reach a server directly, past the proxies."""
        named = {"user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT", "dbname": "NAME"}
        connection.close()
        facts = conninfo_to_dict(url)
        connection.settings_dict.update({named[key]: str(facts[key]) for key in named})

    def serve(self, name: str, argv: list[str], *, proxy: str) -> None:
        """Start a service that is restarted whenever it dies."""
        self.services[name] = Spawned(name, argv, self.base / "logs" / f"{name}.log", self.proxies[proxy].port)
        self.services[name].start()

    def spawn(self, name: str, argv: list[str], log: Path, environment: dict[str, str]) -> Spawned:
        """Start a process that captures, or serves it."""
        process = Spawned(name, argv, log, self.proxies["poller"].port, environment)
        process.start()
        return process

    def serve_bridge(self) -> str:
        """Start the bridge unless it runs; return the URL by which agents reach it, through its proxy."""
        proxy = self.proxies["bridge"]
        if "bridge" not in self.services:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                proxy.target = ("127.0.0.1", int(probe.getsockname()[1]))
            listen = f"127.0.0.1:{proxy.target[1]}"
            self.serve("bridge", ["manage.py", "bridge", "--listen", listen], proxy="poller")
        return f"ws://127.0.0.1:{proxy.port}"

    @property
    def is_worn(self) -> bool:
        """Whether a new world has to be begun for lack of room."""
        return not self.servers or disk.free_mb(self.base / "disk") < _ROOM_MB

    def begin(self, way: Way, play: Play) -> None:
        """Start capturing."""
        self._looked_s, self._waiting = 0.0, None
        self.capture = Capture(play, way.start(self, play))

    def end_capture(self) -> None:
        """Kill what captures or did."""
        if self.capture is not None:
            for process in [self.capture.current, *self.capture.retired]:
                process.end()
        self.capture = None
        for proxy in self.proxies.values():
            proxy.hear()
            proxy.cut_commit(None)
        self.ballast.unlink(missing_ok=True)

    def keep_alive(self) -> None:
        """Start again what has died, and replace a poller that hangs, as `up` does."""
        now_s = clock.monotonic_s()
        for name, server in self.servers.items():
            if server.poll() is not None and now_s - self._died_s.setdefault(name, now_s) > _RESTART_S:
                # On a full disk it cannot be started; then it is tried again.
                with contextlib.suppress(OSError, UsageError):
                    server.start()
                self._died_s.pop(name)
        for process in self.services.values():
            if process.code is not None and now_s - process.ended_s > _RESTART_S:
                process.start()
        if now_s - self._looked_s > _LOOK_S:
            self._looked_s = now_s
            self._look()
        if self.capture is not None:
            self._keep_capturing(self.capture, now_s)

    def _keep_capturing(self, capture: Capture, now_s: float) -> None:
        code = capture.current.code
        if capture.is_over or capture.problem:
            return
        if code == 0:
            capture.is_over = True
            # What was looked at before does not count.
            self._waiting, self._looked_s = None, 0.0
        elif code == _PERMANENT or (code == _REFUSED and not capture.refused_until_s):
            capture.problem = f"{capture.current.name} ended with {code}: {capture.current.last_words()}"
        elif code is not None and now_s - capture.current.ended_s > _RESTART_S and now_s > capture.refused_until_s:
            capture.current.start()
        elif capture.expired_since_s is not None and now_s - capture.expired_since_s > _PATIENCE_S:
            capture.retired.append(capture.current)
            old = capture.current
            capture.current = Spawned(old.name, old.argv, old.log, old.port, old.environment)
            capture.current.start()
            capture.expired_since_s = None

    def _look(self) -> None:
        """Ask the database how many batches wait, and whether the lease of what captures has expired."""
        try:
            with self.ask() as asking:
                row = asking.execute("SELECT count(*) FROM ingest_batch WHERE status = 'WAITING'").fetchone()
                self._waiting = int(str(row[0])) if row else None
                expired = asking.execute("SELECT holder FROM ingest_lease WHERE expires_at < clock_timestamp()")
                holders = {str(holder) for (holder,) in expired.fetchall()}
        except psycopg.Error:
            self._waiting, holders = None, set()
        capture = self.capture
        if capture is None or capture.current.pid is None:
            return
        if not any(holder.endswith(f" pid {capture.current.pid}") for holder in holders):
            capture.expired_since_s = None
        elif capture.expired_since_s is None:
            capture.expired_since_s = clock.monotonic_s()

    @contextmanager
    def ask(self) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
        """Open a connection past the proxies.

        :raises psycopg.Error: if the server does not answer
        """
        url = self._servers.environment()["DATABASE_URL"] if self._servers else ""
        with psycopg.connect(url, connect_timeout=2, autocommit=True) as asking:
            yield asking

    @property
    def is_drained(self) -> bool:
        """Whether all is captured and nothing waits any more, as of the newest look."""
        return self.capture is not None and self.capture.is_over and self._waiting == 0

    def story(self) -> str:
        """Say how far the run under way has come."""
        capture = self.capture
        doing = "over" if capture is None or capture.is_over else f"not over: {capture.current.last_words()}"
        return f"capture is {doing}; {self._waiting} batches wait"

    def failed_batches(self) -> int:
        """Return how many batches an error of the product's own has stopped."""
        with self.ask() as asking:
            row = asking.execute("SELECT count(*) FROM ingest_batch WHERE status = 'FAILED'").fetchone()
        return int(str(row[0])) if row else 0

    def flush(self) -> None:
        """Remove all that Valkey holds."""
        url = self._servers.environment()["REDIS_URL"] if self._servers else ""
        with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
            client.flushall()

    def wait_ready(self) -> None:
        """Wait until both servers take work.

        :raises NotReady: if they do not in time
        """
        deadline_s = clock.monotonic_s() + _READY_S
        while not all(server.poll() is None and server.answers() for server in self.servers.values()):
            if clock.monotonic_s() > deadline_s:
                raise NotReady(f"servers not ready within {_READY_S:.0f} s; logs in {self.world}")
            self.keep_alive()
            clock.sleep(0.05)

    def export(self, symbol: str, *, source: str, out: Path) -> None:
        """Export what is stored and held of a symbol by the product's own command."""
        connection.close()
        with out.with_suffix(".log").open("w") as log:
            options = {"symbol": symbol, "source": source, "quarantined": True, "out": out}
            call_command("export", **options, stdout=log)
        connection.close()

    def close(self) -> None:
        """End everything of this world."""
        self.end_capture()
        for process in self.services.values():
            process.end()
        self.services.clear()
        connection.close()
        if self._servers is not None:
            self._servers.stop()
            self._servers = None


@contextmanager
def opened(base: Path) -> Iterator[Stage]:
    """Give a stage in a folder; its processes are ended and its disk is gone at the end."""
    for name in ("disk", "logs", "runs"):
        (base / name).mkdir()
    with ExitStack() as stack:
        problem = stack.enter_context(disk.small(base / "disk", size_mb=DISK_MB))
        stage = Stage(base, disk_problem=problem)
        for proxy in stage.proxies.values():
            stack.enter_context(proxy)
        stage.prepare()
        try:
            yield stage
        finally:
            stage.close()
