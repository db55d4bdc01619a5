"""One child process: started in its own session, restarted with back-off, stopped within a time."""

import ctypes
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tickhub.core import clock
from tickhub.supervisor.pulse import Pulse

_PR_SET_PDEATHSIG = 1
_BACK_OFF_S = (0.2, 10.0)
# A child that has run this long has recovered: its next death waits shortly again.
_STEADY_S = 30.0
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """Ask Linux to end the child if its parent is killed, so that nothing is left behind."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(slots=True)
class Child:
    """A child by its name, command line, environment and log file; without one it writes where its parent does."""

    name: str
    argv: list[str]
    environment: dict[str, str]
    log: Path | None
    # Of a poller: the name of its source, and its heartbeat where that is watched.
    source: str | None = None
    pulse: Pulse | None = None
    process: "subprocess.Popen[bytes] | None" = None
    started_s: float = 0.0
    restart_at_s: float = 0.0
    deaths: int = 0
    # When another child took its place.
    retired_s: float = 0.0
    is_finished: bool = False
    exit_codes: list[int] = field(default_factory=list)

    def start(self) -> None:
        """Start the process; its output is appended to its log."""
        if self.pulse is not None:
            self.pulse.reset()
        if self.log is None:
            self.process = self._popen(None)
        else:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                self.process = self._popen(log)
        self.started_s = clock.monotonic_s()

    def _popen(self, output: IO[bytes] | None) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.argv,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A session of its own: Ctrl-C on the terminal reaches the supervisor alone, which ends all in order.
            start_new_session=True,
            # Nothing else runs in this process while it forks. Windows has no such thing.
            preexec_fn=None if _libc is None else _die_with_parent,
        )

    @property
    def pid(self) -> int | None:
        """Return the pid while the process has not been reaped."""
        return self.process.pid if self.process else None

    def is_running(self) -> bool:
        """Return whether the process runs; reaps it if it ended."""
        return self.process is not None and self.process.poll() is None

    def reap(self) -> int | None:
        """Return the exit code if the process has ended since the last call, and schedule its restart."""
        if self.process is None or self.process.poll() is None:
            return None
        code = self.process.returncode
        self.process = None
        self.exit_codes.append(code)
        now_s = clock.monotonic_s()
        self.deaths = 0 if now_s - self.started_s > _STEADY_S else self.deaths + 1
        self.restart_at_s = now_s + min(_BACK_OFF_S[0] * 2**self.deaths, _BACK_OFF_S[1])
        return code

    def is_due(self) -> bool:
        """Return whether the process is to be started again now."""
        return self.process is None and not self.is_finished and clock.monotonic_s() >= self.restart_at_s

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if the process runs."""
        if self.is_running() and self.process is not None:
            self.process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Wait for the end; False if it still runs."""
        if self.process is None:
            return True
        try:
            self.process.wait(max(seconds, 0.01))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End the process and its group at once, and reap it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def last_words(self, lines: int = 3) -> str:
        """Return the last lines of the log, for the person who asks why it died."""
        if self.log is None:
            return ""
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return ""
        return " | ".join(line for line in text.strip().splitlines()[-lines:])
