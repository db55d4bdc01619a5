"""Finds and ends the processes of a folder's servers, whoever started them."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from tickhub.core import clock

_PROC = Path("/proc")
_STEP_S = 0.01


def carrying(marker: str, *, program: str) -> list[int]:
    """Return the processes of ``program`` whose command line contains ``marker``; zombies are none.

    The command line, because root in a container may read nothing else of another user's process.
    """
    found = []
    for entry in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes()
            if program.encode() in line.partition(b"\0")[0] and os.fsencode(marker) in line:
                found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], bool], *, within_s: float) -> bool:
    """Ask until the condition holds or the time is over; return whether it holds."""
    deadline_s = clock.monotonic_s() + within_s
    while not condition():
        if clock.monotonic_s() >= deadline_s:
            return False
        clock.sleep(_STEP_S)
    return True


def end(find: Callable[[], list[int]], *, steps: tuple[tuple[signal.Signals, float], ...]) -> bool:
    """Send each step's signal to what ``find`` returns and wait its seconds; return whether nothing is left."""
    for number, patience_s in steps:
        for pid in find():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if wait_until(lambda: not find(), within_s=patience_s):
            return True
    return False
