"""The whole system as a user starts it, on a folder of its own, and what the kernel says about its processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from tests.integration.embedded.conftest import are_gone, wait_for

ROOT = Path(__file__).resolve().parents[2]
MANAGE = str(ROOT / "manage.py")
ORACLE = str(ROOT / "tests" / "oracle" / "compare_export.py")
_PROC = Path("/proc")

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Process:
    """A process as /proc shows it; ``command`` is its command line with blanks between the arguments."""

    pid: int
    parent: int
    command: str


def processes() -> list[Process]:
    """Every process that runs; a zombie does not."""
    found = []
    for entry in _PROC.glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in ("Z", "X"):
            found.append(Process(int(entry.name), int(fields[1]), command))
    return found


def descendants(pid: int) -> list[Process]:
    """The children of a process, theirs, and so on."""
    everything = processes()
    found: list[Process] = []
    parents = {pid}
    while parents:
        generation = [process for process in everything if process.parent in parents]
        found += generation
        parents = {process.pid for process in generation}
    return found


def waited_for(find: Callable[[], Found | None], *, within_s: float) -> Found:
    """Return what a search finds as soon as it finds something; the test fails where it finds nothing in time."""
    found: list[Found] = []

    def look() -> bool:
        result = find()
        if result is not None:
            found.append(result)
        return result is not None

    assert wait_for(look, within_s=within_s), f"{find} found nothing within {within_s} s"
    return found[0]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without the addresses of the test session's servers."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "REDIS_URL") and not name.startswith("TICKHUB_")
    }
    return kept | more


class System:
    """One `manage.py up`. Ends what it started, whatever a test leaves running."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.environment = environment(**settings)
        self.out = data.with_name("up.out")
        self.err = data.with_name("up.err")
        self.seen: set[int] = set()
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.bridge_port = 0

    def start(self, *specs: str, options: tuple[str, ...] = ("--until-drained",)) -> None:
        """Start it on sources, until they are played unless other options are given."""
        self.port, self.bridge_port = _free_port(), _free_port()
        arguments = ["up", f"--data-dir={self.data}", f"--http=127.0.0.1:{self.port}"]
        arguments += [argument for spec in specs for argument in ("--source", spec)]
        arguments += [f"--bridge=127.0.0.1:{self.bridge_port}", *options]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, MANAGE, *arguments, "--json"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def family(self) -> list[Process]:
        """Its processes but itself; remembers them."""
        assert self.process is not None
        found = descendants(self.process.pid)
        self.seen |= {process.pid for process in found}
        return found

    def find(self, *words: str, besides: int = 0) -> int | None:
        """The oldest process whose command line holds all words; its parent is no such process (no child of it)."""
        matching = {p.pid: p for p in self.family() if all(word in p.command for word in words) and p.pid != besides}
        tops = [p.pid for p in matching.values() if p.parent not in matching]
        return min(tops, default=None)

    def child_of(self, pid: int | None, *words: str) -> int | None:
        """A child of a process, the oldest whose command line holds all words."""
        children = [p.pid for p in self.family() if p.parent == pid and all(word in p.command for word in words)]
        return min(children, default=None)

    def urls(self) -> dict[str, str] | None:
        """The addresses of its servers, None before they are published."""
        try:
            facts = json.loads((self.data / "servers.json").read_text())
        except FileNotFoundError:
            return None
        return {name: str(facts[name]) for name in ("DATABASE_URL", "REDIS_URL")}

    def ask(self, question: str) -> Any | None:  # Any: one value of whatever type
        """The one value that a SELECT returns; None while the database does not answer."""
        urls = self.urls()
        if urls is None:
            return None
        try:
            with psycopg.connect(urls["DATABASE_URL"], connect_timeout=2) as connection:
                row = connection.execute(question.encode()).fetchone()
        except psycopg.Error:
            return None
        return row[0] if row else None

    def captured(self) -> int:
        """How many ticks are captured; 0 while the database does not answer."""
        return int(self.ask("SELECT coalesce(sum(tick_count), 0) FROM ingest_batch") or 0)

    def wait(self, *, within_s: float) -> tuple[int, dict[str, Any]]:  # Any: JSON
        """Wait for its end; return the exit code and the figures."""
        assert self.process is not None
        running = self.process
        assert wait_for(lambda: running.poll() is not None or not self.family(), within_s=within_s), self.story()
        code = running.wait(30)
        lines = self.out.read_text().strip().splitlines()
        return code, json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}

    def story(self) -> str:
        """What it said."""
        logs = "".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.data.glob("logs/*.log")))
        return f"{self.out.read_text()}\n{self.err.read_text()[-6000:]}\n{logs}"

    def leftovers(self) -> list[str]:
        """What it left behind: processes, and files that say that it runs."""
        left = [p.command for p in processes() if p.pid in self.seen or _belongs(p.pid, self.data)]
        names = ("lock", "servers.json", "postgres/postmaster.pid", "socket")
        return left + [name for name in names if (self.data / name).exists()]

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command on its folder."""
        command = [sys.executable, MANAGE, *arguments, f"--data-dir={self.data}"]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120, check=False)

    def difference(self, source: Path, symbol: str, *options: str) -> dict[str, int]:
        """Export a symbol and compare it with its source by the independent script."""
        out = self.data.with_name("export.npz")
        exported = self.manage("export", "--symbol", symbol, "--out", str(out), *options)
        assert exported.returncode == 0, exported.stderr
        command = [sys.executable, ORACLE, str(out), str(source)]
        compared = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        found: dict[str, int] = json.loads(compared.stdout)
        return found

    def end(self) -> None:
        """Stop it in order, else by force."""
        if self.process is None or self.process.poll() is not None:
            return
        family = [p.pid for p in self.family()]
        self.process.send_signal(signal.SIGTERM)
        if not wait_for(lambda: self.process is None or self.process.poll() is not None, within_s=20):
            self.process.kill()
            self.process.wait()
        for pid in family:
            if not are_gone([pid]):
                os.kill(pid, signal.SIGKILL)


def _belongs(pid: int, folder: Path) -> bool:
    """Whether a process's command line or environment names the folder."""
    for name in ("cmdline", "environ"):
        try:
            text = (_PROC / str(pid) / name).read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in text and pid != os.getpid():
            return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
