"""The pass over the past: what a terminal shows of the last hour, and of an outage before it, against the captured.

A pass begins every five minutes (of the host or of the terminal, whichever is first), after every start and error, and
before a drain ends. It covers the time since the newest pass that found nothing new, and one hour before. Hours long
past are compared by their digests, and row by row where these differ; the last hours row by row, a minute at a time, so
that polling goes on in between. A pass does not count for feeds that it could not read: the next one covers for them
what this one did not see. One that found something is repeated.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from ingest import comparing, feedstate, queries, reading
from ingest.coverage import Coverage
from ingest.feedstate import FeedState, Piece
from ingest.sources.terminal import Readable
from ingest.target import Target
from tickhub.core import clock, digest, metrics
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import Digest
from tickhub.core.ticks import Ticks

logger = logging.getLogger(__name__)

PERIOD_S = 300
# Seconds compared row by row between two polls, and at once where no poll waits.
SLICE_S, SLICE_ALONE_S = 60, 300
# Stretches longer than this are compared by digests first.
_BY_DIGEST_S = 2 * 3600
# How many rows one read of a long stretch should bring.
_ROWS_WANTED = 200_000
_RETRY_S = 5.0
_OVERDUE_S = 60.0
_PASSES_MOST = 5
# How far around a slice that shows nothing of what was captured it is looked for anything else.
_AROUND_S = 3600

# One feed's hours by digest, as captured or as shown.
Hours = dict[int, Digest]


class Save(Protocol):
    """Saves pieces as batches with their cursors; returns the ticks saved."""

    def __call__(self, pieces: list[Piece], *, now_msc: int) -> int: ...


class MakeSettler(Protocol):
    """Makes the settler of a poller."""

    def __call__(self, *, target: Target, terminal: Readable, save: Save) -> "Settler": ...


class Settler:
    """Runs the passes of one source; times are in the terminal's clock."""

    def __init__(self, *, target: Target, terminal: Readable, save: Save) -> None:
        self.target = target
        self.terminal = terminal
        self.save = save
        self.coverage = Coverage()
        self.due_s = clock.monotonic_s() + PERIOD_S
        self._running: Iterator[int] | None = None
        self._begun_msc = 0
        self._found = 0
        # The feeds of the pass under way, and whether it is one of all of them.
        self._states: Sequence[FeedState] = ()
        self._is_of_all = True
        # Up to where it found them covered, those behind aside.
        self._before_msc = 0
        # Why feeds could not be read in the pass or slice under way, by feed.
        self._failed: dict[int, reading.ReadFailed] = {}
        # The newest pass went to its end and found nothing new.
        self._is_concluded = False
        # Rows that a pass has told of as gone, by feed.
        self.told_gone: dict[int, set[bytes]] = {}

    @property
    def is_clean(self) -> bool:
        """Return whether the newest pass found nothing new, and every feed is covered."""
        return self._is_concluded and self.coverage.is_whole

    def is_covered(self, *, feed_id: int) -> bool:
        """Return whether the newest pass found nothing new, and a feed is covered."""
        return self._is_concluded and not self.coverage.is_behind(feed_id)

    @property
    def is_overdue(self) -> bool:
        """Return whether the past has waited long enough to be looked at even while the present piles up."""
        return clock.monotonic_s() >= self.due_s + _OVERDUE_S

    def restart(self, *, covered_msc: int | None) -> None:
        """Forget the pass under way; the next one covers the time since the newest tick captured."""
        self._running, self._is_concluded = None, False
        if covered_msc is not None:
            self.coverage.reach_back(covered_msc)
            self.due_s = clock.monotonic_s()

    def doubt(self, *, since_msc: int) -> None:
        """Pass over the time since then now, and once more when a terminal has surely fetched its history.

        What was missed may come in any order: rows behind newer ones, after a pass that found nothing.
        """
        self.restart(covered_msc=since_msc)
        self.coverage.doubt(since_msc)

    def step(self, states: Sequence[FeedState], *, now_msc: int) -> int:
        """Go one step on if a pass is due or under way; return the late ticks captured.

        :raises django.db.DatabaseError: if the database failed
        :raises queries.PayloadGone: if bytes needed for comparing were dropped
        """
        if self._running is None:
            self._begin_if_due(states, now_msc)
        return self._advance()

    def _begin_if_due(self, states: Sequence[FeedState], now_msc: int) -> None:
        coverage = self.coverage
        if coverage.covered_msc is None:
            coverage.covered_msc = now_msc
        self._end_doubt()
        is_due = clock.monotonic_s() >= self.due_s
        if is_due or coverage.sure(now_msc) - coverage.covered_msc >= PERIOD_S * 1000:
            self._begin(states, now_msc, SLICE_S)
        elif coverage.is_time_to_retry():
            # A poll can read them by now.
            behind = [s for s in states if coverage.is_behind(s.feed_id) and s.error is None]
            if behind:
                self._begin(behind, now_msc, SLICE_S, is_of_all=False)

    def _end_doubt(self) -> None:
        """Pass over what was doubted once more, if it is time to."""
        if (since_msc := self.coverage.settle_doubt()) is not None:
            self.restart(covered_msc=since_msc)

    def run(self, states: Sequence[FeedState], *, now_msc: int) -> int:
        """Pass until nothing new is found; return the late ticks captured. Raises as :meth:`step`."""
        total = 0
        self._end_doubt()
        for _ in range(_PASSES_MOST):
            self._begin(states, now_msc, SLICE_ALONE_S)
            while self._running is not None:
                total += self._advance()
            if self._found == 0:
                break
        return total

    def cover(self, states: Sequence[FeedState], *, from_msc: int, to_msc: int, now_msc: int) -> Iterator[int]:
        """Compare a period (terminal's clock) with what was captured, row by row; yield each step's ticks captured.

        :raises reading.ReadFailed: if the terminal cannot be read
        :raises django.db.DatabaseError: if the database failed
        :raises queries.PayloadGone: if bytes needed for comparing were dropped
        """
        for number in range(from_msc // 1000 // SLICE_ALONE_S, -(-to_msc // 1000 // SLICE_ALONE_S)):
            start, end = number * SLICE_ALONE_S, (number + 1) * SLICE_ALONE_S
            self._failed.clear()
            found = self._slice(states, max(start, from_msc // 1000), min(end, -(-to_msc // 1000)), now_msc)
            for error in self._failed.values():
                raise error
            yield found

    def _begin(self, states: Sequence[FeedState], now_msc: int, slice_s: int, *, is_of_all: bool = True) -> None:
        if is_of_all:
            self.due_s = clock.monotonic_s() + PERIOD_S
        self._begun_msc, self._found, self._is_concluded = now_msc, 0, False
        self._states, self._is_of_all, self._failed = states, is_of_all, {}
        covered_msc = self.coverage.covered_msc
        self._before_msc = now_msc if covered_msc is None else min(covered_msc, now_msc)
        self._running = self._pass(states, now_msc, slice_s)

    def _advance(self) -> int:
        if self._running is None:
            return 0
        try:
            found = next(self._running, None)
        except reading.ReadFailed as error:
            # Not covered: what this pass did not see, the next one has to.
            self._running = None
            self.due_s = clock.monotonic_s() + _RETRY_S
            metrics.READ_ERRORS.labels(self.target.name).inc()
            logger.warning("pass over the past broken off", extra={"source": self.target.name, "error": str(error)})
            return 0
        if found is None:
            self._running = None
            if self._found == 0:
                self._conclude()
            return 0
        self._found += found
        return found

    def _conclude(self) -> None:
        """Note up to where a pass that found nothing new has covered each feed, and tell of those that fell behind."""
        newly = self.coverage.conclude(
            [state.feed_id for state in self._states],
            failed=self._failed,
            before_msc=self._before_msc,
            to_msc=self._begun_msc if self._is_of_all else None,
        )
        self._is_concluded = True
        # What a poll cannot read either, it tells of itself.
        pieces = [
            replace(
                feedstate.failed_piece(state),
                unread=(self._failed[state.feed_id].code, self._failed[state.feed_id].text),
            )
            for state in self._states
            if state.feed_id in newly and state.error is None
        ]
        if pieces:
            self.save(pieces, now_msc=self._begun_msc)

    def _pass(self, states: Sequence[FeedState], now_msc: int, slice_s: int) -> Iterator[int]:
        """Yield the ticks captured by each step."""
        slices: dict[int, list[FeedState]] = {}
        for state in states:
            numbers: set[int] = set()
            try:
                yield from self._numbers(state, slice_s, numbers)
            except reading.ReadFailed as error:
                self._fail(state, error)
                continue
            for number in numbers:
                slices.setdefault(number, []).append(state)
        for number, concerned in sorted(slices.items(), key=lambda item: item[0]):
            first_second = min(self._first_second(state) for state in concerned)
            yield self._slice(concerned, max(number * slice_s, first_second - 3600), (number + 1) * slice_s, now_msc)

    def _first_second(self, state: FeedState) -> int:
        covered_msc = self.coverage.of(state.feed_id)
        before_msc = self._before_msc if covered_msc is None else min(self._before_msc, covered_msc)
        return (before_msc - HOUR_MS) // 1000

    def _numbers(self, state: FeedState, slice_s: int, found: set[int]) -> Iterator[int]:
        """Find which slices of one feed have to be compared; yields whenever a poll may go on.

        :raises reading.ReadFailed: if the newest poll could not read the feed, or its history cannot be read
        """
        if state.error is not None:
            code, text = state.error
            raise reading.ReadFailed(symbol=state.symbol, code=code, text=text)
        start, end = max(self._first_second(state), state.begins_msc // 1000), state.tail.first_second
        if end - start > _BY_DIGEST_S:
            differing: list[int] = []
            for _ in self._differing_hours(state, start, end, differing):
                yield 0
            for hour in differing:
                begin = (hour * HOUR_MS + self.target.offset_ms) // 1000
                found.update(range(begin // slice_s, -(-(begin + 3600) // slice_s)))
            start = self._whole_hours(start, end)[1] * 3600 + self.target.offset_ms // 1000
        found.update(range(start // slice_s, -(-end // slice_s)))

    def _fail(self, state: FeedState, error: reading.ReadFailed) -> None:
        """Leave a feed out of the pass under way: it is not covered by it."""
        self._failed[state.feed_id] = error
        metrics.READ_ERRORS.labels(self.target.name).inc()
        logger.warning("past of a feed not read", extra={"source": self.target.name, "error": str(error)})

    def _whole_hours(self, start: int, end: int) -> tuple[int, int]:
        """Return the UTC hours from the one that holds ``start`` up to the last one that ends before ``end``."""
        offset_s = self.target.offset_ms // 1000
        return (start - offset_s) // 3600, (end - offset_s) // 3600

    def _differing_hours(self, state: FeedState, start: int, end: int, found: list[int]) -> Iterator[None]:
        """Find the hours of a long stretch whose digest differs, in reads of bounded size; yields after each read."""
        hour, last_hour = self._whole_hours(start, end)
        captured = queries.captured_hours(
            source_id=self.target.source_id,
            feed_id=state.feed_id,
            from_msc=hour * HOUR_MS,
            to_msc=last_hour * HOUR_MS,
        )
        step = 1
        while hour < last_hour:
            stop = min(hour + step, last_hour)
            shown, count = self._shown_hours(state, hour, stop)
            own = {h: d for h, d in captured.items() if hour <= h < stop}
            found += sorted(h for h in shown.keys() | own.keys() if shown.get(h) != own.get(h))
            hour = stop
            step = step * 2 if count < _ROWS_WANTED else max(step // 2, 1)
            yield

    def _shown_hours(self, state: FeedState, hour: int, stop: int) -> tuple[Hours, int]:
        offset_ms = self.target.offset_ms
        ticks = reading.read_range(
            self.terminal,
            state.symbol,
            from_second=(hour * HOUR_MS + offset_ms) // 1000,
            to_second=(stop * HOUR_MS + offset_ms) // 1000,
        )
        ticks = ticks[ticks["time_msc"] >= state.begins_msc]
        return digest.by_key(ticks, (ticks["time_msc"] - offset_ms) // HOUR_MS, offset_ms=offset_ms), len(ticks)

    def _slice(self, states: Sequence[FeedState], start: int, end: int, now_msc: int) -> int:
        shown = [(state, self._shown(state, start, end)) for state in states if state.feed_id not in self._failed]
        doubtful = [(state, rows) for state, rows in shown if rows is not None]
        if not doubtful:
            return 0
        captured = queries.captured_between(
            source_id=self.target.source_id,
            from_msc=max(start * 1000 - self.target.offset_ms, self.target.epoch.starts_msc),
            to_msc=end * 1000 - self.target.offset_ms,
        )
        found = [
            self._compare(state, rows, start, end, captured)
            for state, rows in doubtful
            if len(rows) or not self._is_hidden(state, start, end, captured)
        ]
        pieces = [(piece, gone) for piece, gone in found if piece is not None]
        saved = self.save([piece for piece, _ in pieces], now_msc=now_msc)
        for piece, gone in pieces:
            piece.state.tail.remember(piece.ticks)
            piece.state.minutes.add(piece.ticks)
            # Only now: a report that rolled back has to be made again.
            self.told_gone.setdefault(piece.state.feed_id, set()).update(gone)
        return saved

    def _shown(self, state: FeedState, start: int, end: int) -> Ticks | None:
        """Read one feed's slice, up to where its tail begins.

        None where it is empty or known to be captured, or cannot be read.
        """
        start, end = self._bounds(state, start, end)
        if end <= start:
            return None
        try:
            shown = reading.read_range(self.terminal, state.symbol, from_second=start, to_second=end)
        except reading.ReadFailed as error:
            self._fail(state, error)
            return None
        shown = shown[shown["time_msc"] >= state.begins_msc]
        return None if state.minutes.is_all(shown, start_msc=start * 1000, end_msc=end * 1000) else shown

    def _is_hidden(self, state: FeedState, start: int, end: int, captured: dict[int, queries.Captured]) -> bool:
        """Return whether a terminal that shows nothing of a slice has lost the symbol, not its history.

        That it shows nothing of the hours around it either tells them apart; for a day, after which they are gone.
        """
        if len(self._known(state, start, end, captured)) == 0 or self.coverage.is_gone(state.feed_id):
            return False
        try:
            around = reading.read_range(
                self.terminal, state.symbol, from_second=start - _AROUND_S, to_second=end + _AROUND_S
            )
        except reading.ReadFailed as error:
            self._fail(state, error)
            return True
        if len(around) == 0:
            self._fail(state, reading.ReadFailed(symbol=state.symbol, code=0, text="no row of those captured"))
        return len(around) == 0

    def _bounds(self, state: FeedState, start: int, end: int) -> tuple[int, int]:
        return max(start, state.begins_msc // 1000), min(end, state.tail.first_second)

    def _compare(
        self, state: FeedState, shown: Ticks, start: int, end: int, captured: dict[int, queries.Captured]
    ) -> tuple[Piece | None, set[bytes]]:
        """Compare one feed's slice with what was captured; None where there is nothing to tell."""
        known = self._known(state, start, end, captured)
        result = comparing.compare(known, shown)
        new, lost = shown[result.is_new], known[result.is_gone]
        gone = self._newly_gone(state, lost)
        if len(new) == 0 and not gone:
            return None, set()
        seq = comparing.next_seqs(new["time_msc"], known["time_msc"])
        late = np.ones(len(new), dtype=bool)
        told = lost[[record.tobytes() in gone for record in lost]]
        piece = Piece(state, new, seq, late, feedstate.before(state), told, captured_msc=known["time_msc"])
        return piece, gone

    def _known(self, state: FeedState, start: int, end: int, captured: dict[int, queries.Captured]) -> Ticks:
        """Return what was captured of one feed's slice, as far as it is read."""
        start, end = self._bounds(state, start, end)
        known = captured[state.feed_id].ticks if state.feed_id in captured else tick_arrays.empty()
        begin_msc = max(start * 1000, state.begins_msc)
        return known[(known["time_msc"] >= begin_msc) & (known["time_msc"] < end * 1000)]

    def _newly_gone(self, state: FeedState, gone: Ticks) -> set[bytes]:
        """Return the records gone that no earlier pass has told of."""
        return {record.tobytes() for record in gone} - self.told_gone.get(state.feed_id, set())
