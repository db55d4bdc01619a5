"""The heartbeat of a capturing process: a file that is written again and again as long as the process goes on.

A process that hangs inside the terminal's package cannot notice: the package holds the interpreter. Whoever started
it watches the file (`tickhub/supervisor/`). There is one poller in a process, hence one heartbeat.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from tickhub.core import clock

VARIABLE = "TICKHUB_HEARTBEAT_FILE"
# A silence that is a hang, beyond the time that a beat asked for.
HUNG_AFTER_S = 40.0
_EVERY_S = 1.0
_TRIES, _AGAIN_S = 3, 0.01
# The slowest that a file is loaded, packed or not, on a machine that has much else to do.
_LOADED_BYTES_PER_S = 1_000_000

logger = logging.getLogger(__name__)

_beaten_s: float | None = None
_is_failing = False
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
    _write(Path(path), f"{now_s:.3f} {extra_s:.1f}")
    # After more time was asked for, the next beat takes it back at once.
    _beaten_s = now_s if extra_s == 0 else None


def _write(path: Path, text: str) -> None:
    """Replace the file. Where none can be written any more, the watcher takes this process for one that hangs."""
    global _is_failing
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    for attempt in range(_TRIES):
        try:
            draft.write_text(text)
            draft.replace(path)
        except OSError as error:
            # On Windows a file cannot be replaced at the moment in which the watcher reads it.
            if attempt < _TRIES - 1:
                clock.sleep(_AGAIN_S)
            elif not _is_failing:
                _is_failing = True
                logger.warning("heartbeat not written", extra={"path": str(path), "error": error.strerror})
        else:
            _is_failing = False
            return


def beat_before_loading(size_bytes: int) -> None:
    """Ask for the time that loading so much may take."""
    beat(extra_s=size_bytes // _LOADED_BYTES_PER_S)
