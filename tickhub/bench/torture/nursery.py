"""Starts the processes of the system by forking one that has loaded everything: two a second would else be too many."""

import contextlib
import ctypes
import multiprocessing
import os
import random
import signal
import sys
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tickhub.bench import processes
from tickhub.core import clock

_ROOT = Path(__file__).resolve().parents[3]
_PR_SET_PDEATHSIG = 1
_context = multiprocessing.get_context("forkserver")


def open_with(environment: dict[str, str]) -> None:
    """Set the environment that every process is forked with; before the first of them."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= environment | {"PYTHONPATH": os.pathsep.join(paths)}
    _context.set_forkserver_preload(["tickhub.bench.torture.preloaded"])


@dataclass(slots=True)
class Spawned:
    """One process by its name, command line, environment, log file, and the port by which it reaches PostgreSQL."""

    name: str
    argv: list[str]
    log: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    started_s: float = 0.0
    ended_s: float = 0.0
    _process: ForkServerProcess | None = None

    def start(self) -> None:
        """Start it, in a group of its own; its output is appended to its log."""
        self.ended_s, self.started_s = 0.0, clock.monotonic_s()
        self._process = _context.Process(
            target=_run, args=(self.argv, str(self.log), self.port, self.environment), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int | None:
        """Return its pid while it runs."""
        return self._process.pid if self._process is not None and self._process.exitcode is None else None

    @property
    def code(self) -> int | None:
        """Return its exit code once it has ended."""
        code = self._process.exitcode if self._process is not None else None
        if code is not None and not self.ended_s:
            self.ended_s = clock.monotonic_s()
        return code

    def children(self) -> list[int]:
        """Return the pids of its descendants."""
        return processes.tree(self.pid)[1:] if self.pid else []

    def signal(self, number: signal.Signals, *, group: bool = False) -> bool:
        """Send a signal to it, or to its whole group; return whether it was there."""
        pid = self.pid
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(pid, number)
            return True
        return False

    def end(self) -> None:
        """Kill it and its group, and wait."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._process = None

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return lines[-1] if lines else ""


def _run(argv: list[str], log: str, port: int, environment: dict[str, str]) -> None:
    """Be a process of the system: runs in the forked child."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for target, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY | os.O_CREAT | os.O_APPEND)):
        os.dup2(os.open(os.devnull if target == 0 else log, flags, 0o600), target)
    os.dup2(1, 2)
    random.seed()
    from django.conf import settings

    from tickhub import launch

    settings.DATABASES["default"]["PORT"] = str(port)
    # The bench has asked both servers; they may be down by now, as for any child of `up`.
    os.environ |= environment | {"TICKHUB_CHECKED_BY": str(os.getppid())}
    sys.argv = argv
    if argv[0] == "celery":
        from celery.bin.celery import main

        sys.exit(main())
    sys.exit(launch.main(argv))
