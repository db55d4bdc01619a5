"""The heartbeat of a child process, as whoever watches it sees it."""

from dataclasses import dataclass
from pathlib import Path

from tickhub.core import clock


@dataclass(slots=True)
class Pulse:
    """The file that a child writes again and again (``ingest/heartbeat.py``); times are the watcher's own."""

    path: Path
    seen_s: float = 0.0
    text: str = ""

    def reset(self) -> None:
        """Begin anew with a process that is about to be started."""
        self.path.unlink(missing_ok=True)
        self.seen_s, self.text = clock.monotonic_s(), ""

    def silent_s(self) -> float:
        """Return for how long the beat is overdue, beyond the time that it asked for itself; below 0 before that."""
        try:
            text = self.path.read_text()
        except OSError:
            text = self.text
        now_s = clock.monotonic_s()
        if text != self.text:
            self.text, self.seen_s = text, now_s
        extra_s = float(self.text.split()[1]) if self.text else 0.0
        return now_s - self.seen_s - extra_s
