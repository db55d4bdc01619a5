"""Says when an epoch of the clock has been read to its end, and what of it could not be read.

Once the next epoch has begun, nobody reads forward in the old one. So it is left only where the terminal answers from
its broker, its history is whole, and a read of every symbol finds nothing more; however long that takes. A symbol that
alone cannot be read does not hold the others up: it is left behind, named, and is for a backfill.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ingest.feedstate import FeedState
from ingest.poller import Poller
from ingest.sources.terminal import Link
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS

# How long single symbols that cannot be read are waited for, while the others can be.
_WAITS_S = 60.0


@dataclass(frozen=True, slots=True)
class Unread:
    """A feed whose epoch was left before it was read to the end: the period (UTC) to read again, and why."""

    feed_id: int
    symbol: str
    from_msc: int
    to_msc: int
    reason: str


class EpochEnd:
    """Looks at a poller after each of its polls."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        # Since when the terminal has shown all but single symbols, of the monotonic clock.
        self._shows_s: float | None = None
        self._is_doubted = False
        # Up to where a pass had found nothing new when the terminal last began to fetch its history (its clock).
        self._covered_msc: int | None = None

    def is_reached(self) -> bool:
        """Return whether the newest poll came after the switch to the next epoch and all of this one has been read."""
        poller = self._poller
        self._remember_covered()
        if poller.utc_msc < poller.target.epoch.ends_msc or not self._is_connected:
            self._shows_s, self._is_doubted = None, False
            return False
        if poller.synchroniser.is_waiting or poller.settler.coverage.is_doubted:
            # What is fetched may appear in any order, for two minutes; the next epoch looks back for an hour only.
            self._shows_s = None
            return False
        now_s = clock.monotonic_s()
        self._shows_s = now_s if self._shows_s is None else self._shows_s
        if poller.saved_last:
            return False
        if poller.source.connections and not self._is_doubted:
            # That there is nothing more must not be a history that is still being fetched.
            self._doubt()
            return False
        return not poller.has_errors or now_s - self._shows_s > _WAITS_S

    def _doubt(self) -> None:
        """Let the history agree once more; where it did not before, all that the terminal fetched since."""
        poller, from_msc = self._poller, None
        if poller.synchroniser.unagreed:
            from_msc = self._covered_msc
            poller.settler.restart(covered_msc=from_msc)
        poller.synchroniser.doubt(from_msc=from_msc)
        self._is_doubted = True

    @property
    def _is_connected(self) -> bool:
        """Return whether the broker is reached and at least one symbol can be read."""
        states = self._poller.states
        return self._poller.source.health().link is Link.CONNECTED and any(state.error is None for state in states)

    def _remember_covered(self) -> None:
        synchroniser, covered_msc = self._poller.synchroniser, self._poller.settler.coverage.covered_msc
        if covered_msc is None:
            # Nothing was captured before.
            covered_msc = min(state.begins_msc for state in self._poller.states)
        is_open = synchroniser.is_waiting or synchroniser.unagreed
        kept_msc = self._covered_msc if is_open else None
        self._covered_msc = covered_msc if kept_msc is None else min(kept_msc, covered_msc)

    def unread(self) -> list[Unread]:
        """Return what has to be read again, after the last pass over the epoch's past."""
        # A feed that begins in a later epoch has nothing in this one.
        return [left for left in self._unread() if left.from_msc < left.to_msc]

    def _unread(self) -> Iterator[Unread]:
        poller = self._poller
        is_seen = self._is_connected and not poller.synchroniser.is_waiting
        for state in poller.states:
            is_settled = is_seen and poller.settler.is_covered(feed_id=state.feed_id)
            reason = "" if is_settled else "the last pass over it was broken off"
            if state.symbol in poller.synchroniser.unagreed:
                reason = "its history was not whole"
            if state.error is not None:
                reason = "terminal error {} {}".format(*state.error)
            if reason:
                yield self._period(state, reason)

    def _period(self, state: FeedState, reason: str) -> Unread:
        target = self._poller.target
        covered_msc = self._poller.settler.coverage.of(state.feed_id)
        known = [msc for msc in (self._covered_msc, covered_msc, state.last_msc) if msc is not None]
        from_msc = max(min(known) - HOUR_MS, state.begins_msc) - target.offset_ms
        return Unread(state.feed_id, state.symbol, from_msc, target.epoch.ends_msc, reason)
