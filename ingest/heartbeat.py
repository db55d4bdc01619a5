"""The heartbeat of a capturing process: a file that is written again and again as long as the process goes on.

A process that hangs inside the terminal's package cannot notice: the package holds the interpreter. Whoever started
it watches the file (`tickhub/supervisor/guard.py`). There is one poller in a process, hence one heartbeat.
"""

import os
from collections.abc import Callable
from pathlib import Path

from tickhub.core import clock

VARIABLE = "TICKHUB_HEARTBEAT_FILE"
_EVERY_S = 1.0

_beaten_s: float | None = None
_listener: Callable[[float], None] | None = None


def on_request(listener: Callable[[float], None] | None) -> None:
    """Let a listener hear of each request for more time, before the work begins: an agent tells its bridge."""
    global _listener
    _listener = listener


def beat(*, extra_s: float = 0.0) -> None:
    """Say that this process goes on; nothing happens where nobody watches.

    ``extra_s`` asks for more time than usual until the next beat, and is written at once; an ordinary beat is written
    once a second.
    """
    global _beaten_s
    if extra_s and _listener is not None:
        _listener(extra_s)
    path = os.environ.get(VARIABLE)
    now_s = clock.monotonic_s()
    if path is None or (extra_s == 0 and _beaten_s is not None and now_s - _beaten_s < _EVERY_S):
        return
    # After more time was asked for, the next beat takes it back at once.
    _beaten_s = now_s if extra_s == 0 else None
    target = Path(path)
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    draft.write_text(f"{now_s:.3f} {extra_s:.1f}")
    draft.replace(target)
