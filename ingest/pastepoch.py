"""Passes over the end of the epoch before: late rows of it may still arrive after the switch of the clock."""

from dataclasses import replace

from ingest import cursors, queries
from ingest.feedstate import FeedState
from ingest.poller import Poller
from ingest.settle import PERIOD_S
from ingest.tail import CONTEXT_TICKS, Tail
from tickhub.core import clock
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import HOUR_MS

# How long after a switch the hour before it is still looked at.
_WATCHED_MS = 2 * HOUR_MS


class PastEpoch:
    """Captures what the hour before a switch still brings, beside the poller of the epoch after it."""

    def __init__(self, current: Poller) -> None:
        target = replace(current.target, place=current.target.place - 1, unsure=None)
        self._current = current
        self._due_s = clock.monotonic_s()
        self._past = Poller(
            source=current.source,
            target=target,
            lease=current.lease,
            publish=current.publish,
            options=current.options,
        )

    def step(self) -> int:
        """Pass over the hour before the switch if it is time to; return the late ticks captured.

        What is captured moves the versions of the cursors: the current poller reads them again.

        :raises django.db.DatabaseError: if the database failed
        """
        if clock.monotonic_s() < self._due_s or not self.is_watching:
            return 0
        self._due_s = clock.monotonic_s() + PERIOD_S
        return self.run()

    @property
    def is_watching(self) -> bool:
        """Return whether the switch is recent."""
        return self._current.utc_msc < self._current.target.epoch.starts_msc + _WATCHED_MS

    def run(self) -> int:
        """Pass over the hour before the switch until nothing new is found. Raises as :meth:`step`."""
        past = self._past
        past.utc_msc = self._current.utc_msc
        past.renewed_s = clock.monotonic_s()
        past.states = self._states()
        past.settler.covered_msc = past.target.epoch.ends_msc + past.target.offset_ms
        found = past.settler.run(past.states, now_msc=past.utc_msc + past.target.offset_ms)
        if found:
            self._current.captured += found
            self._current.is_outdated = True
        return found

    def _states(self) -> list[FeedState]:
        """Return the feeds as they ended: their cursors stay where the current epoch has them."""
        target = self._past.target
        positions = cursors.load(source_id=target.source_id)
        ends_msc = target.epoch.ends_msc + target.offset_ms + target.epochs.skipped_ms(target.place)
        states = []
        for symbol in self._past.source.symbols:
            feed_id, _ = target.feeds[symbol]
            position = positions.get(feed_id)
            context = tick_arrays.empty()
            if position is not None:
                context = queries.context_of(feed_id=feed_id, batch_id=position.last_batch_id, size=CONTEXT_TICKS)
            tail = Tail(captured=tick_arrays.empty(), context=context, complete_from_msc=ends_msc)
            states.append(FeedState(feed_id, symbol, target.begins_msc(symbol), position, tail))
        return states
