"""Compares the past with an agent's terminal: digests first, ticks only where they differ."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ingest import feedstate, queries, reading
from ingest.bridge.remote import Period, RemoteTerminal
from ingest.bridge.sieve import Sieve
from ingest.epochview import EpochView
from ingest.feedstate import FeedState, Piece
from ingest.poller import TAIL_MS, Poller
from ingest.settle import Hours, Save, Settler
from ingest.sources.terminal import Readable
from ingest.tail import Reading
from ingest.target import Target
from ingest.wire.messages import Cursor, TerminalError
from tickhub.core import digest, metrics
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import Digest

logger = logging.getLogger(__name__)


class RemoteSettler(Settler):
    """The pass over the past of one agent's source. ``terminal`` shows one epoch of what ``remote`` shows."""

    def __init__(self, *, target: Target, terminal: Readable, save: Save, remote: RemoteTerminal) -> None:
        super().__init__(target=target, terminal=terminal, save=save)
        self._remote = remote

    def _shown_hours(self, state: FeedState, hour: int, stop: int) -> tuple[Hours, int]:
        """Ask for the hours' digests; what they count decides about how many hours the next question is."""
        offset_ms = self.target.offset_ms
        periods = [
            (state.symbol, max(h * HOUR_MS + offset_ms, state.begins_msc), (h + 1) * HOUR_MS + offset_ms)
            for h in range(hour, stop)
        ]
        digests = shown_digests(self._remote, self.terminal, periods, shift_ms=offset_ms)
        if None in digests:
            return super()._shown_hours(state, hour, stop)
        found = [_checked(state.symbol, one) for one in digests]
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
            from_msc=max(start * 1000 - self.target.offset_ms, self.target.epoch.starts_msc),
            to_msc=end * 1000 - self.target.offset_ms,
        )
        periods = [(state.symbol, low, high) for state, low, high in stretches]
        shown = shown_digests(self._remote, self.terminal, periods, shift_ms=0)
        differing = []
        for (state, low, high), found in zip(stretches, shown, strict=True):
            rows = captured[state.feed_id].ticks if state.feed_id in captured else tick_arrays.empty()
            rows = rows[(rows["time_msc"] >= low) & (rows["time_msc"] < high)]
            if found is not None and not isinstance(found, Digest):
                # One symbol does not keep the others from being compared.
                self._fail(state, reading.ReadFailed(symbol=state.symbol, code=found[0], text=found[1]))
            elif found != digest.of(rows):
                differing.append(state)
        return super()._slice(differing, start, end, now_msc) if differing else 0


def shown_digests(
    remote: RemoteTerminal, terminal: Readable, periods: Sequence[Period], *, shift_ms: int
) -> list[Digest | TerminalError | None]:
    """Return the digest of each period as ``terminal`` shows it of ``remote``; None where only the rows tell.

    What the terminal shows of the epoch before as well is known: its digest is taken off.
    """
    if not isinstance(terminal, EpochView):
        return list(remote.digests(periods, shift_ms=shift_ms))
    hidden = [terminal.hidden(*period) for period in periods]
    asked = [period for period, rows in zip(periods, hidden, strict=True) if rows is not None]
    answers = iter(remote.digests(asked, shift_ms=shift_ms))
    found: list[Digest | TerminalError | None] = []
    for rows in hidden:
        if rows is None:
            found.append(None)
            continue
        answer = next(answers)
        found.append(answer - digest.of(rows, offset_ms=shift_ms) if isinstance(answer, Digest) else answer)
    return found


def _checked(symbol: str, found: Digest | TerminalError | None) -> Digest:
    if isinstance(found, Digest):
        return found
    code, text = found or (0, "not asked")
    raise reading.ReadFailed(symbol=symbol, code=code, text=text)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A tail before the millisecond at which the agent goes on: what comes at or behind that, frames bring."""

    state: FeedState
    low_msc: int
    travelling: Cursor

    @property
    def high_msc(self) -> int:
        """Return where it ends: at the cursor, but in an hour that is shown twice, where the agent may be ahead."""
        return self.travelling[0]


def settle_tails(poller: Poller, terminal: RemoteTerminal, sieve: Sieve, *, now_msc: int) -> int:
    """Compare the tails up to where the agent goes on; return the ticks captured.

    :raises django.db.DatabaseError: as :meth:`Poller.poll`
    """
    saved = settle_some(poller, terminal, sieve, poller.states, now_msc=now_msc)
    poller.settled_msc = now_msc
    return saved


def settle_some(
    poller: Poller, terminal: RemoteTerminal, sieve: Sieve, states: Sequence[FeedState], *, now_msc: int
) -> int:
    """Compare the tails of some feeds. As :func:`settle_tails`."""
    stretches = [_Stretch(s, max(s.tail.first_second * 1000, s.begins_msc), sieve.cursor(s)) for s in states]
    stretches = [stretch for stretch in stretches if stretch.low_msc < stretch.high_msc]
    periods = [(stretch.state.symbol, stretch.low_msc, stretch.high_msc) for stretch in stretches]
    shown = shown_digests(terminal, poller.terminal, periods, shift_ms=0)
    found: list[tuple[_Stretch, Piece, Reading]] = []
    for stretch, theirs in zip(stretches, shown, strict=True):
        compared = _compare(poller, terminal, stretch, theirs)
        if compared is not None and (len(compared.new) or len(compared.gone)):
            # The cursor moves no further than the agent stands, not even onto ticks of the future whose time has come:
            # the agent has to know.
            front_msc = max(stretch.state.last_msc, stretch.high_msc - 1)
            found.append((stretch, feedstate.piece_of(stretch.state, compared, now_msc=front_msc), compared))
    pieces = [piece for _, piece, _ in found]
    poller.reach_back(pieces)
    saved = poller.save(pieces, now_msc=now_msc)
    for stretch, piece, compared in found:
        state = piece.state
        if stretch.high_msc > piece.cursor_after[0]:
            sieve.hold(state, stretch.travelling)
        state.minutes.add(state.tail.advance(compared, keep_from_msc=min(state.last_msc, now_msc) - TAIL_MS))
    return saved


def _compare(
    poller: Poller, terminal: RemoteTerminal, stretch: _Stretch, theirs: Digest | TerminalError | None
) -> Reading | None:
    """Compare one tail; None where it is equal or cannot be read."""
    state, low, high = stretch.state, stretch.low_msc, stretch.high_msc
    tail = state.tail
    start, end = tail.times.searchsorted([low, high]).tolist()
    own = tail.rows[start:end][~tail.is_gone[start:end]]
    if theirs == digest.of(own):
        return None
    rows = None if isinstance(theirs, tuple) else terminal.read(state.symbol, low, high)
    if rows is not None and isinstance(poller.terminal, EpochView):
        rows = poller.terminal.shown(state.symbol, rows)
    if rows is None or (len(rows) == 0 and len(own)):
        # A terminal that shows nothing of what it showed before has lost the symbol, not its history.
        metrics.READ_ERRORS.labels(poller.target.name).inc()
        code, text = terminal.last_error() if rows is None else (0, "no row of those captured")
        logger.warning("tail not compared", extra={"symbol": state.symbol, "code": code, "text": text})
        return None
    behind = tail.rows[end:][~tail.is_gone[end:]]
    return tail.compare(tick_arrays.join([rows, behind]), from_second=tail.first_second, is_cut=False)
