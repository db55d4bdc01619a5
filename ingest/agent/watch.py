"""How the terminal is: connected or not, its history whole or doubted. It outlives a connection to the bridge."""

from collections.abc import Iterable

from ingest.sources.terminal import Link, OpenSource
from ingest.synchronising import DOUBT_S, Synchroniser
from ingest.wire.messages import Condition
from tickhub.core import clock


class Watch:
    """Looks at one terminal with every poll. Times are UTC: it outlives an epoch of the terminal's clock."""

    def __init__(self, source: OpenSource) -> None:
        self.synchroniser = Synchroniser(terminal=source.terminal)
        self._source = source
        # Until then the terminal was seen connected, and its history whole.
        self._sure_msc: int | None = None
        self._doubted_msc: int | None = None
        self._doubt_s = -DOUBT_S
        self._is_doubted = False

    def look(self, now_msc: int, *, cursors_msc: Iterable[int]) -> None:
        """Note how the terminal is at a poll, before anything is read of it."""
        if self.synchroniser.has_changed(self._source.connections):
            self.doubt(max(cursors_msc) if self._sure_msc is None else self._sure_msc)
        elif not self.synchroniser.is_waiting:
            self._is_doubted = False
            if self._source.health().link is Link.CONNECTED:
                self._sure_msc = now_msc

    def doubt(self, since_msc: int) -> None:
        """Doubt the history since a time, until every symbol is whole again."""
        if self.is_recent and self._doubted_msc is not None:
            since_msc = min(since_msc, self._doubted_msc)
        self._doubted_msc, self._doubt_s, self._is_doubted = since_msc, clock.monotonic_s(), True

    @property
    def is_recent(self) -> bool:
        """Return whether the history was doubted of late: more of it may appear."""
        return clock.monotonic_s() - self._doubt_s < DOUBT_S

    @property
    def doubted_msc(self) -> int | None:
        """Return since when the history was doubted last; None where it never was."""
        return self._doubted_msc

    def condition(self, offset_ms: int = 0) -> Condition:
        """Return what a beat tells, on a clock so far from UTC."""
        health = self._source.health()
        return Condition(
            link=health.link.value,
            circuit=health.circuit.value,
            failures=health.failures,
            hung_ms=round(health.hung_s * 1000),
            doubted_msc=self._doubted_msc + offset_ms if self._is_doubted and self._doubted_msc is not None else None,
        )

    def repeat_doubt(self) -> None:
        """Tell a doubt of the last minutes again: the connection may have been cut before the bridge heard of it."""
        self._is_doubted = self._is_doubted or self.is_recent
