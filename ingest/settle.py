"""The pass over the last hour: every five minutes, after a start and before a drain ends, what a terminal shows of the
last hour is compared with what was captured. It works in slices so that polling goes on in between."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ingest import comparing, feedstate, queries, reading
from ingest.feedstate import FeedState, Piece
from ingest.sources.terminal import Terminal
from ingest.target import Target
from tickhub.core import clock
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Ticks

# Seconds compared between two polls, and at once where nothing waits for the next poll.
SLICE_S, SLICE_ALONE_S = 60, 300
PERIOD_S = 300.0


class Save(Protocol):
    """Saves pieces as batches with their cursors; returns the ticks saved."""

    def __call__(self, pieces: list[Piece], *, now_msc: int) -> int: ...


class Settler:
    """Walks the last hour of one source, a minute at a time."""

    def __init__(self, *, target: Target, terminal: Terminal, save: Save) -> None:
        self.target = target
        self.terminal = terminal
        self.save = save
        self.next_second: int | None = None
        self.end_second = 0
        self.started_s = clock.monotonic_s()
        self.slice_s = SLICE_S
        # Rows that a pass has told of as gone, by feed; they stay gone, and are told once for each start.
        self.told_gone: dict[int, set[bytes]] = {}

    def restart(self) -> None:
        """Make the next step begin a new pass."""
        self.next_second = None
        self.started_s = -PERIOD_S

    def step(self, states: Sequence[FeedState], *, now_msc: int) -> int:
        """Pass over one slice if a pass is due or under way; return the late ticks captured."""
        if self.next_second is None:
            if clock.monotonic_s() - self.started_s < PERIOD_S:
                return 0
            self._begin(states, now_msc)
        assert self.next_second is not None  # noqa: S101  # for the type checker: _begin has set it
        end = min(self.next_second + self.slice_s, self.end_second)
        found = self._slice(states, self.next_second, end, now_msc)
        self.next_second = end
        if self.next_second >= self.end_second:
            self.next_second = None
        return found

    def run(self, states: Sequence[FeedState], *, now_msc: int) -> int:
        """Pass over the whole last hour at once; return the late ticks captured."""
        self._begin(states, now_msc)
        self.slice_s = SLICE_ALONE_S
        found = self.step(states, now_msc=now_msc)
        while self.next_second is not None:
            found += self.step(states, now_msc=now_msc)
        return found

    def _begin(self, states: Sequence[FeedState], now_msc: int) -> None:
        self.started_s = clock.monotonic_s()
        self.slice_s = SLICE_S
        self.next_second = (now_msc - clock.HOUR_MS) // 1000
        # The tails know what is newer.
        self.end_second = max((state.tail.first_second for state in states), default=0)
        self.next_second = min(self.next_second, self.end_second)

    def _slice(self, states: Sequence[FeedState], start: int, end: int, now_msc: int) -> int:
        if end <= start:
            return 0
        captured = queries.captured_between(
            source_id=self.target.source_id,
            from_msc=start * 1000 - self.target.offset_ms,
            to_msc=end * 1000 - self.target.offset_ms,
        )
        pieces = [self._compare(state, start, end, captured) for state in states]
        found = self.save([piece for piece in pieces if piece is not None], now_msc=now_msc)
        for piece in pieces:
            if piece is not None:
                piece.state.tail.remember(piece.ticks)
        return found

    def _newly_gone(self, state: FeedState, gone: Ticks) -> int:
        """Count the rows gone that no earlier pass has told of."""
        told = self.told_gone.setdefault(state.feed_id, set())
        found = {record.tobytes() for record in gone} - told
        told |= found
        return len(found)

    def _compare(self, state: FeedState, start: int, end: int, captured: dict[int, queries.Captured]) -> Piece | None:
        """Compare one feed's slice; None where it holds nothing that could be new."""
        end = min(end, state.tail.first_second)
        start = max(start, state.begins_msc // 1000)
        if end <= start or state.position is None:
            return None
        try:
            shown = reading.read_range(self.terminal, state.symbol, from_second=start, to_second=end)
        except reading.ReadFailed:
            # The poll that follows meets the same terminal and tells of it.
            return None
        shown = shown[shown["time_msc"] >= state.begins_msc]
        known = captured[state.feed_id].ticks if state.feed_id in captured else tick_arrays.empty()
        known = known[(known["time_msc"] >= start * 1000) & (known["time_msc"] < end * 1000)]
        result = comparing.compare(known, shown)
        new, gone = shown[result.is_new], self._newly_gone(state, known[result.is_gone])
        if len(new) == 0 and gone == 0:
            return None
        seq = comparing.next_seqs(new["time_msc"], known["time_msc"])
        return Piece(state, new, seq, np.ones(len(new), dtype=bool), feedstate.before(state), gone)
