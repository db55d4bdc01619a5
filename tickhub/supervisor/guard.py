"""Guards one capturing process from outside: kills it when its heartbeat stops, starts it again when it dies.

A call into a terminal may hold its process for ever; only another process can end it. This is what `up` does for its
pollers, for a poller that runs alone: beside a terminal, in a container, under systemd.
"""

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from ingest import heartbeat
from tickhub.core import clock
from tickhub.supervisor.children import Child
from tickhub.supervisor.pulse import Pulse

# Ended in order, a bad source, a permanent error: starting again would not help.
_FINAL_CODES = (0, 2, 4)
# What a poller needs to settle after it was told to stop.
_STOP_S = 30.0
_LOOK_S = 0.1


def run(
    argv: list[str],
    *,
    hung_after_s: float,
    should_stop: Callable[[], bool],
    tell: Callable[[str], None],
    name: str = "poller",
    final_codes: tuple[int, ...] = _FINAL_CODES,
) -> int:
    """Run a command until it ends for good, with one of ``final_codes``, or is told to stop; return its exit code."""
    with tempfile.TemporaryDirectory(prefix="tickhub-guard-") as folder:
        pulse = Pulse(Path(folder) / "heartbeat")
        environment = dict(os.environ) | {heartbeat.VARIABLE: str(pulse.path)}
        child = Child(name=name, argv=argv, environment=environment, log=None, pulse=pulse)
        while not should_stop():
            code = child.reap()
            if code in final_codes:
                return int(code)
            if code is not None:
                wait_s = max(child.restart_at_s - clock.monotonic_s(), 0)
                tell(f"{child.name} ended with code {code}; restarting in {wait_s:.1f} s")
            elif child.is_due():
                child.start()
            elif child.is_running() and pulse.silent_s() > hung_after_s:
                tell(f"{child.name} (pid {child.pid}) has been silent for {hung_after_s:g} s; killing it")
                child.kill()
            clock.sleep(_LOOK_S)
        return _stop(child)


def _stop(child: Child) -> int:
    child.signal(signal.SIGTERM)
    if not child.wait(_STOP_S):
        child.kill()
    return child.process.returncode if child.process else 0
