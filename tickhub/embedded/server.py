"""What the two embedded servers share: a direct child process with a log, that is watched, ended and started again."""

import abc
import contextlib
import os
import signal
import subprocess
from typing import ClassVar

from tickhub.core import clock
from tickhub.core.errors import UsageError
from tickhub.embedded import processes
from tickhub.embedded.folder import DataFolder

_LOG_TAIL_BYTES = 4096
_BACK_OFF_S = (0.5, 10.0)
# A server that has run this long has recovered: its next death is answered at once.
_STEADY_S = 30.0


class Server(abc.ABC):
    """A server in a data folder. The folder is open and its lock is held by this process."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start_bytes = 0
        self._started_s = 0.0
        self._quick_deaths = 0

    @property
    def pid(self) -> int | None:
        """The process id, None before the first start."""
        return self._process.pid if self._process else None

    @abc.abstractmethod
    def url(self) -> str:
        """Return the address with the password; it stays the same over restarts."""

    @abc.abstractmethod
    def prepare(self) -> list[str]:
        """Make what a start needs and return its command."""

    @abc.abstractmethod
    def clear(self) -> None:
        """End what a killed parent or a killed server left running, and remove what it left behind."""

    @abc.abstractmethod
    def answers(self) -> bool:
        """Return whether the server takes work now.

        :raises UsageError: if it never will
        """

    def start(self) -> None:
        """Start the server as a child; it may not be ready yet.

        :raises UsageError: if it cannot be started
        """
        self._started_s = clock.monotonic_s()
        self.clear()
        command = self.prepare()
        log = self._folder.open_log(self.name)
        self._log_start_bytes = os.fstat(log).st_size
        try:
            # When this process is killed, the server ends by itself, in order.
            self._process = self._folder.owner.spawn(command, log=log, death_signal=self.stop_signal)
        finally:
            os.close(log)

    def revive(self) -> str | None:
        """Start a server that has died again, later each time it dies soon; return a line that says so, else None."""
        status = self.poll()
        age_s = clock.monotonic_s() - self._started_s
        wait_s = min(_BACK_OFF_S[0] * 2.0**self._quick_deaths, _BACK_OFF_S[1]) if self._quick_deaths else 0.0
        if status is None or age_s < wait_s:
            return None
        self._quick_deaths = 0 if age_s > _STEADY_S else self._quick_deaths + 1
        died = f"{self.name} died ({describe(status)})"
        try:
            self.start()
        except (OSError, UsageError) as error:
            return f"{died}: could not be started again: {error}"
        return f"{died}: started again"

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the server takes work; recovery after a crash can take its time.

        :raises UsageError: if it dies, or is not ready in time
        """

        def is_settled() -> bool:
            return self.poll() is not None or self.answers()

        if not processes.wait_until(is_settled, within_s=timeout_s):
            raise UsageError(f"{self.name} was not ready after {timeout_s:.0f} s: {self.complaint()}")
        if (status := self.poll()) is not None:
            raise UsageError(f"{self.name} did not start ({describe(status)}): {self.complaint()}")

    def poll(self) -> int | None:
        """Return the exit status once the server has ended, and reap it; None while it runs."""
        return self._process.poll() if self._process else None

    def request_stop(self) -> None:
        """Ask the server to end in order, without waiting for it."""
        if self._process and self.poll() is None:
            self._process.send_signal(self.stop_signal)

    def stop(self, *, deadline_s: float | None = None) -> None:
        """End the server and what belongs to it; by force where it has not ended by a time of the monotonic clock."""
        if self._process is None:
            return
        deadline_s = clock.monotonic_s() + 8 if deadline_s is None else deadline_s
        self.request_stop()
        for number, patience_s in ((signal.SIGQUIT, 1.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0.01, deadline_s - clock.monotonic_s()))
                break
            self._process.send_signal(number)
            deadline_s = clock.monotonic_s() + patience_s
        self._process.wait()
        self.clear()
        self._process = None

    def complaint(self) -> str:
        """Return where the log is and the last thing it says since the start."""
        path = self._folder.log_path(self.name)
        with contextlib.suppress(OSError), path.open("rb") as log:
            log.seek(max(self._log_start_bytes, path.stat().st_size - _LOG_TAIL_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
            telling = [line for line in lines if "FATAL" in line or "ERROR" in line] or lines
            if telling:
                return f"{telling[-1].strip()} (log: {path})"
        return f"see {path}"


def describe(status: int) -> str:
    """Put an exit status into words."""
    return f"signal {-status}" if status < 0 else f"exit code {status}"
