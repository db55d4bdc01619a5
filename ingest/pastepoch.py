"""Passes over the end of the epoch before: late rows of it may still arrive after the switch of the clock."""

from ingest import detached
from ingest.poller import Poller
from ingest.settle import PERIOD_S
from ingest.sources.terminal import Link
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS

# How long after a switch the hour before it is still looked at: until a pass later than that found nothing more.
_WATCHED_MS = 2 * HOUR_MS


class PastEpoch:
    """Captures what the hour before a switch still brings, beside the poller of the epoch after it.

    The watch is due as long as the past is not proven up to its end, whatever has been captured since: a poller that is
    killed before it could look leaves the watch to the next one.
    """

    def __init__(self, current: Poller) -> None:
        self._current = current
        self._past = detached.poller(current, current.target.place - 1)
        self._due_s = clock.monotonic_s()
        # The pass that ends the watch has been made.
        self._is_over = False

    def begin(self) -> None:
        """Decide whether late rows may have come unseen, once cursors are read and before the first frame or poll."""
        current = self._current
        proven_msc = current.settler.coverage.covered_msc
        if proven_msc is None:
            proven_msc = max((state.begins_msc for state in current.states), default=0)
        self._is_over = proven_msc - current.target.offset_ms >= self._ends_msc

    def step(self) -> int:
        """Pass over the hour before the switch if it is time to; return the late ticks captured.

        :raises django.db.DatabaseError: if the database failed
        """
        if clock.monotonic_s() < self._due_s or not self.is_watching:
            return 0
        self._due_s = clock.monotonic_s() + PERIOD_S
        return self.run()

    @property
    def is_watching(self) -> bool:
        """Return whether late rows may still come, or have come unseen: while nobody polled, or without the broker."""
        return not self._is_over

    @property
    def _ends_msc(self) -> int:
        return self._current.target.epoch.starts_msc + _WATCHED_MS

    def run(self) -> int:
        """Pass over the hour before the switch until nothing new is found. Raises as :meth:`step`."""
        past = self._past
        detached.load(past, self._current)
        past.settler.coverage.covered_msc = past.target.epoch.ends_msc + past.target.offset_ms
        found = past.settler.run(past.states, now_msc=past.utc_msc + past.target.offset_ms)
        detached.take_over(past, self._current, found)
        is_reached = self._current.source.health().link is Link.CONNECTED
        self._is_over = past.settler.is_clean and is_reached and self._current.utc_msc >= self._ends_msc
        return found
