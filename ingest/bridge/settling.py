"""Compares the past with an agent's terminal: digests first, ticks only where they differ."""

import logging
from collections.abc import Sequence

from ingest import feedstate, queries, reading
from ingest.bridge.remote import RemoteTerminal
from ingest.feedstate import FeedState, Piece
from ingest.poller import TAIL_MS, Poller
from ingest.settle import Hours, Save, Settler
from ingest.tail import Reading
from ingest.target import Target
from tickhub.core import digest, metrics
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import Digest

logger = logging.getLogger(__name__)


class RemoteSettler(Settler):
    """The pass over the past of one agent's source."""

    def __init__(self, *, target: Target, terminal: RemoteTerminal, save: Save) -> None:
        super().__init__(target=target, terminal=terminal, save=save)
        self._remote = terminal

    def _shown_hours(self, state: FeedState, hour: int, stop: int) -> tuple[Hours, int]:
        """Ask for the hours' digests; what they count decides about how many hours the next question is."""
        offset_ms = self.target.offset_ms
        periods = [
            (state.symbol, max(h * HOUR_MS + offset_ms, state.begins_msc), (h + 1) * HOUR_MS + offset_ms)
            for h in range(hour, stop)
        ]
        found = [_checked(state.symbol, one) for one in self._remote.digests(periods, shift_ms=offset_ms)]
        count = sum(own.count for own in found)
        return {h: own for h, own in zip(range(hour, stop), found, strict=True) if own.count}, count

    def _slice(self, states: Sequence[FeedState], start: int, end: int, now_msc: int) -> int:
        """Compare the feeds whose digest differs; all are asked at once."""
        stretches = [
            (state, max(start * 1000, state.begins_msc), min(end, state.tail.first_second) * 1000) for state in states
        ]
        stretches = [stretch for stretch in stretches if stretch[1] < stretch[2]]
        if not stretches:
            return 0
        captured = queries.captured_between(
            source_id=self.target.source_id,
            from_msc=start * 1000 - self.target.offset_ms,
            to_msc=end * 1000 - self.target.offset_ms,
        )
        shown = self._remote.digests([(state.symbol, low, high) for state, low, high in stretches], shift_ms=0)
        differing = []
        for (state, low, high), found in zip(stretches, shown, strict=True):
            rows = captured[state.feed_id].ticks if state.feed_id in captured else tick_arrays.empty()
            rows = rows[(rows["time_msc"] >= low) & (rows["time_msc"] < high)]
            if not isinstance(found, Digest):
                # One symbol does not keep the others from being compared.
                self._fail(state, reading.ReadFailed(symbol=state.symbol, code=found[0], text=found[1]))
            elif found != digest.of(rows):
                differing.append(state)
        return super()._slice(differing, start, end, now_msc) if differing else 0


def _checked(symbol: str, found: Digest | tuple[int, str]) -> Digest:
    if isinstance(found, Digest):
        return found
    raise reading.ReadFailed(symbol=symbol, code=found[0], text=found[1])


def settle_tails(poller: Poller, terminal: RemoteTerminal, *, now_msc: int) -> int:
    """Compare the tails up to the cursors, which stay where they are; return the late ticks captured.

    :raises django.db.DatabaseError: as :meth:`Poller.poll`
    """
    states = [state for state in poller.states if _stretch(state)[0] < _stretch(state)[1]]
    shown = terminal.digests([(state.symbol, *_stretch(state)) for state in states], shift_ms=0)
    found: list[tuple[Piece, Reading]] = []
    for state, theirs in zip(states, shown, strict=True):
        compared = _compare(poller, terminal, state, theirs)
        if compared is not None and (len(compared.new) or len(compared.gone)):
            # Only frames move the cursor, even onto ticks of the future whose time has come: the agent has to know.
            found.append((feedstate.piece_of(state, compared, now_msc=state.last_msc), compared))
    saved = poller.save([piece for piece, _ in found], now_msc=now_msc)
    poller.settled_msc = now_msc
    for piece, compared in found:
        state = piece.state
        state.minutes.add(state.tail.advance(compared, keep_from_msc=min(state.last_msc, now_msc) - TAIL_MS))
    return saved


def _stretch(state: FeedState) -> tuple[int, int]:
    """Return the part of the tail before the cursor's millisecond: what comes at or behind it, frames bring."""
    return max(state.tail.first_second * 1000, state.begins_msc), state.last_msc


def _compare(
    poller: Poller, terminal: RemoteTerminal, state: FeedState, theirs: Digest | tuple[int, str]
) -> Reading | None:
    """Compare one tail; None where it is equal or cannot be read."""
    low, high = _stretch(state)
    tail = state.tail
    start, end = tail.times.searchsorted([low, high]).tolist()
    own = tail.rows[start:end][~tail.is_gone[start:end]]
    if theirs == digest.of(own):
        return None
    rows = terminal.read(state.symbol, low, high) if isinstance(theirs, Digest) else None
    if rows is None or (len(rows) == 0 and len(own)):
        # A terminal that shows nothing of what it showed before has lost the symbol, not its history.
        metrics.READ_ERRORS.labels(poller.target.name).inc()
        code, text = terminal.last_error() if rows is None else (0, "no row of those captured")
        logger.warning("tail not compared", extra={"symbol": state.symbol, "code": code, "text": text})
        return None
    behind = tail.rows[end:][~tail.is_gone[end:]]
    return tail.compare(tick_arrays.join([rows, behind]), from_second=tail.first_second, is_cut=False)
