"""The heartbeat of a capturing process: a file that is written again and again as long as the process goes on.

A process that hangs inside the terminal's package cannot notice: the package holds the interpreter. Whoever started
it watches the file (`tickhub/supervisor/`). There is one poller in a process, hence one heartbeat.
"""

import logging
import os
from pathlib import Path

from tickhub.core import clock

VARIABLE = "TICKHUB_HEARTBEAT_FILE"
# A silence that is a hang, beyond the time that a beat asked for.
HUNG_AFTER_S = 40.0
_EVERY_S = 1.0

logger = logging.getLogger(__name__)

_beaten_s: float | None = None
_failures = 0


def beat(*, extra_s: float = 0.0) -> None:
    """Say that this process goes on; nothing happens where nobody watches.

    ``extra_s`` asks for more time than usual until the next beat, and is written at once; an ordinary beat is written
    once a second.
    """
    global _beaten_s, _failures
    path = os.environ.get(VARIABLE)
    now_s = clock.monotonic_s()
    if path is None or (extra_s == 0 and _beaten_s is not None and now_s - _beaten_s < _EVERY_S):
        return
    target = Path(path)
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        draft.write_text(f"{now_s:.3f} {extra_s:.1f}")
        draft.replace(target)
    except OSError as error:
        # On Windows a file that the watcher is reading cannot be replaced. The next beat tries again at once; where
        # none can be written, the watcher takes this process for one that hangs.
        _beaten_s = None
        _failures += 1
        if _failures == 2:
            logger.warning("heartbeat not written", extra={"path": path, "error": error.strerror or str(error)})
        return
    _failures = 0
    # After more time was asked for, the next beat takes it back at once.
    _beaten_s = now_s if extra_s == 0 else None
