"""The poller: one process for each source. Reads every symbol, saves one batch with its cursors, publishes its id."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ingest import cursors, epochview, feedstate, inbox, leases, queries, reading
from ingest.cursors import Move, Position
from ingest.feedstate import FeedState, Piece
from ingest.gate import Gate
from ingest.payloads import Payload
from ingest.seen import Seen
from ingest.settle import MakeSettler, Settler
from ingest.sources.terminal import Link, OpenSource, Readable
from ingest.synchronising import Synchroniser
from ingest.tail import CONTEXT_TICKS, Reading, Tail
from ingest.target import Options, Target
from tickhub.core import batch as core_batch
from tickhub.core import clock, digest, metrics
from tickhub.core import ticks as tick_arrays
from tickhub.core.errors import PermanentError
from tickhub.core.ticks import BATCH_TICKS_MAX, Ticks

logger = logging.getLogger(__name__)

TAIL_MS = 10_000
SETTLE_MS = 1_000
_FOR_EVER = 1 << 62
# A market closes for longer; a terminal that lost its broker unseen looks the same.
_SILENCE_MS = clock.HOUR_MS // 2
# A past that no pass could cover for longer is left to `reconcile`: its bytes may be gone before it is compared.
_DOUBTED_MOST_MS = 2 * clock.DAY_MS


class TailIncomplete(PermanentError):
    """The inbox no longer holds what the cursor says was captured last: going on could capture it twice."""


class Poller:
    """Captures one source under a lease. Not thread-safe; owns the process's database connection."""

    def __init__(
        self,
        *,
        source: OpenSource,
        target: Target,
        lease: leases.Held,
        publish: Callable[[int], object],
        options: Options,
        gate: Gate | None = None,
        beside: Target | None = None,
        make_settler: MakeSettler = Settler,
    ) -> None:
        """With ``beside`` the cursors are those of the poller of that target, and stay where they are."""
        self.source = source
        self.target = target
        self.lease = lease
        self.publish = publish
        self.options = options
        self.gate = gate or Gate()
        self.beside = beside
        self.states: list[FeedState] = []
        self.captured = 0
        # Cursors and tails have to be read before the next action: nothing is loaded yet, or one was broken off.
        self.is_stale = True
        # Another has moved the cursors meanwhile: they are read again before the next poll.
        self.is_outdated = False
        # How many ticks the newest poll brought.
        self.saved_last = 0
        self.now_msc = 0
        self.read_at = clock.now()
        # The newest poll's time minus its newest tick, of those that were new and not late; None where there was none.
        self.age_ms: int | None = None
        self.settled_msc = 0
        self.renewed_s = 0.0
        self.utc_msc = 0
        self.seen = Seen()
        self.terminal = self._view()
        self.make_settler = make_settler
        self.settler = make_settler(target=target, terminal=self.terminal, save=self.save)
        self.synchroniser = Synchroniser(terminal=source.terminal)

    def load(self) -> None:
        """Read cursors and tails from the database, at start and after any error.

        :raises TailIncomplete, queries.PayloadGone: if the inbox no longer holds what the cursors count
        """
        positions = cursors.load(source_id=self.target.source_id)
        self.states = [self._state(symbol, positions) for symbol in self.source.symbols]
        self.renew_view()
        for feed_id, position in positions.items():
            if position.epoch_id == self.target.epoch_id:
                self.seen.note(feed_id, position.last_msc - self.target.offset_ms)
                self.seen.note_made(position.last_msc - self.target.offset_ms)
        self.is_outdated = False
        # The first poll compares the whole tail again, and the hour before it is passed over soon after.
        self.settled_msc = 0
        self.settler.coverage.record = self._record_covered
        self.settler.restart(covered_msc=self._covered_msc())

    def _covered_msc(self) -> int | None:
        """Return from when the first pass has to look: what no pass has proven, else the time since the newest tick."""
        known = [state.position.last_msc for state in self.states if state.position is not None]
        if not known:
            return None
        recorded_msc = leases.covered_msc(self.lease)
        if recorded_msc is None:
            return max(known)
        return min(max(known), max(recorded_msc + self.target.offset_ms, max(known) - _DOUBTED_MOST_MS))

    def _record_covered(self, covered_msc: int) -> None:
        leases.cover(self.lease, covered_msc - self.target.offset_ms)

    def doubt(self, *, since_msc: int | None = None) -> None:
        """Let the past be passed over since a time, at most since the newest tick: what was missed may appear bit by
        bit, behind newer ticks. Comes before anything newer is saved, so that a later poller knows of it.

        :raises django.db.DatabaseError: if the database failed
        """
        known = [state.position.last_msc for state in self.states if state.position is not None]
        newest_msc = max(known) if known else min(state.begins_msc for state in self.states)
        self.settler.doubt(since_msc=newest_msc if since_msc is None else min(newest_msc, since_msc))
        self._record_proven()

    def note_age(self, pieces: list[Piece], *, now_msc: int) -> None:
        """Note the age of a poll's newest tick."""
        newest = [int(piece.ticks["time_msc"][-1]) for piece in pieces if len(piece.ticks) and not piece.late[-1]]
        self.age_ms = now_msc - max(newest) if newest else None

    def reach_back(self, pieces: list[Piece]) -> None:
        """Let the passes reach back to where a feed begins, and to before a long time without any tick: whatever was
        missed in it may appear behind the first one after it. Comes before these ticks are saved; raises as
        :meth:`doubt`.
        """
        begins = [piece.state.begins_msc for piece in pieces if piece.state.position is None and len(piece.ticks)]
        if begins:
            self.settler.restart(covered_msc=min(begins))
            self._record_proven()
        known = [state.position.last_msc for state in self.states if state.position is not None]
        newest = [piece.cursor_after[0] for piece in pieces if len(piece.ticks)]
        if known and newest and self.source.is_in_real_time and max(newest) - max(known) > _SILENCE_MS:
            self.doubt()

    def _record_proven(self) -> None:
        if self.settler.coverage.proven_msc is not None:
            self._record_covered(self.settler.coverage.proven_msc)

    def renew_view(self) -> None:
        """Look at the terminal anew, after something of its clock's epochs was captured by another poller."""
        self.terminal = self.settler.terminal = self._view()

    def _view(self) -> Readable:
        return epochview.of(
            self.source.terminal,
            self.target,
            now_msc=lambda: self.shown_msc,
            seen_msc=lambda symbol: self.seen.of(self.target.feeds[symbol][0]),
        )

    def _state(self, symbol: str, positions: dict[int, Position]) -> FeedState:
        feed_id, _ = self.target.feeds[symbol]
        begins_msc = self.target.begins_msc(symbol)
        position = positions.get(feed_id)
        if position is not None and position.epoch_id != self.target.epoch_id:
            # The clock was changed since the feed's last tick: its cursor starts anew at the switch.
            position = replace(position, epoch_id=self.target.epoch_id, last_msc=begins_msc, taken=0)
        if position is None:
            tail = Tail(
                captured=tick_arrays.empty(),
                context=tick_arrays.empty(),
                complete_from_msc=begins_msc // 1000 * 1000,
            )
            return FeedState(feed_id, symbol, begins_msc, None, tail)
        start_msc = max(position.last_msc // 1000 * 1000 - TAIL_MS, self.target.epoch.wall_start_msc)
        captured = queries.captured_between(
            source_id=self.target.source_id,
            from_msc=start_msc - self.target.offset_ms,
            # Ticks from the future lie behind the cursor and are captured all the same.
            to_msc=_FOR_EVER,
            feed_id=feed_id,
        ).get(feed_id)
        tail = Tail(
            # What a backfill captured before the feed's begin is not read here.
            captured=captured.ticks[captured.ticks["time_msc"] >= begins_msc] if captured else tick_arrays.empty(),
            context=queries.context_of(feed_id=feed_id, batch_id=position.last_batch_id, size=CONTEXT_TICKS),
            complete_from_msc=start_msc,
        )
        if tail.taken(position.last_msc) != position.taken:
            msg = (
                f"feed {feed_id}: its cursor counts {position.taken} ticks in {position.last_msc}, "
                f"the inbox holds {tail.taken(position.last_msc)}"
            )
            raise TailIncomplete(msg)
        return FeedState(feed_id, symbol, begins_msc, position, tail)

    def poll(self) -> int:
        """Read every symbol once and save what is new; return how many ticks that was.

        :raises leases.LeaseLost: if this poller was replaced
        :raises ingest.gate.Closed: if nothing may be saved now; as after an error of the database
        :raises cursors.CursorMoved: if another poller moved a cursor
        :raises django.db.DatabaseError: if the database failed; what committed before is captured, the tails do not
            know of it, and :meth:`load` has to come before the next poll
        """
        started_s = clock.monotonic_s()
        self.utc_msc = self.source.begin_poll()
        now_msc = self.utc_msc + self.target.offset_ms
        if self.synchroniser.has_changed(self.source.connections):
            self.doubt()
        is_settling = now_msc - self.settled_msc >= SETTLE_MS
        readings = [
            (state, self._read(state, is_settling=is_settling))
            for state in self.states
            if self.synchroniser.is_agreed(state, now_msc=now_msc)
        ]
        self.read_at = clock.now()
        pieces = [
            feedstate.failed_piece(state) if found is None else feedstate.piece_of(state, found, now_msc=now_msc)
            for state, found in readings
        ]
        self.note_age(pieces, now_msc=now_msc)
        self.reach_back(pieces)
        saved = self.saved_last = self.save(pieces, now_msc=now_msc)
        for state, found in readings:
            if found is not None:
                keep_from_msc = min(state.last_msc, self.settled_msc) - TAIL_MS
                state.minutes.add(state.tail.advance(found, keep_from_msc=keep_from_msc))
        if is_settling and not self.synchroniser.is_waiting:
            self.settled_msc = now_msc
        if self.is_whole:
            # While its broker is lost a terminal shows no past that could be proven.
            self.settler.coverage.sure_msc = now_msc
        metrics.POLL_SECONDS.labels(self.target.name).observe(clock.monotonic_s() - started_s)
        self.now_msc = now_msc
        self.note_seen([state for state, found in readings if found is not None and not state.is_cut])
        return saved

    @property
    def shown_msc(self) -> int:
        """Return up to when (UTC) what the terminal shows may have been made."""
        return max(self.source.shown_msc(self.utc_msc), self.seen.least_msc)

    def note_seen(self, states: Sequence[FeedState]) -> None:
        """Note feeds of which all that is shown was captured, where that is all there is, and of this epoch alone."""
        is_whole = self.is_whole and not self.settler.coverage.is_doubted
        for state in states if is_whole and self.utc_msc < self.target.epoch.ends_msc else ():
            self.seen.note(state.feed_id, self.utc_msc)

    def _read(self, state: FeedState, *, is_settling: bool) -> Reading | None:
        """Read one symbol from the cursor's second, when settling from the tail's; None where the read failed."""
        from_second = state.tail.first_second if is_settling else state.last_msc // 1000
        expected = len(state.tail.rows) - state.tail.start_of(from_second)
        try:
            page = reading.read_forward(
                self.terminal,
                state.symbol,
                from_second=from_second,
                count=self.options.page_ticks + expected,
            )
        except reading.ReadFailed as error:
            self._note_error(state, error)
            return None
        ticks, state.is_cut = page.ticks, page.is_cut
        if len(ticks) == 0 and expected and not state.tail.is_gone[-expected:].all():
            # A terminal that shows nothing of what it showed before has lost the symbol, not its history.
            self._note_error(state, reading.ReadFailed(symbol=state.symbol, code=0, text="no row of those captured"))
            self.terminal.symbol_select(state.symbol, True)
            return None
        state.error, state.is_error_saved = None, False
        if len(ticks) and ticks["time_msc"][0] < state.begins_msc:
            ticks = ticks[int(np.searchsorted(ticks["time_msc"], state.begins_msc, side="left")) :]
        return state.tail.compare(ticks, from_second=from_second, is_cut=page.is_cut)

    @property
    def has_errors(self) -> bool:
        """Return whether the newest read of any feed failed."""
        return any(state.error is not None for state in self.states)

    @property
    def is_whole(self) -> bool:
        """Return whether the terminal reaches its broker and its history is whole, single symbols aside."""
        return self.source.health().link is Link.CONNECTED and not self.synchroniser.is_waiting

    @property
    def sees_all(self) -> bool:
        """Return whether the terminal shows all there is: no read failed, its broker is reached, its history whole."""
        return self.is_whole and not self.has_errors

    def _note_error(self, state: FeedState, error: reading.ReadFailed) -> None:
        metrics.READ_ERRORS.labels(self.target.name).inc()
        if state.error != (error.code, error.text):
            state.is_error_saved = False
            logger.warning(
                "terminal read failed",
                extra={"symbol": state.symbol, "code": error.code, "text": error.text},
            )
        state.error = (error.code, error.text)

    def save(self, pieces: list[Piece], *, now_msc: int) -> int:
        """Save pieces as batches of at most 65,536 ticks, in order, and publish their ids; return the ticks saved."""
        waiting = [piece for piece in pieces if piece.is_worth_saving]
        total = 0
        sent: dict[int, Ticks] = {}
        while waiting:
            chosen, waiting = _fill(waiting, now_msc)
            self._save_batch(chosen, sent, now_msc)
            total += sum(len(piece.ticks) for piece in chosen)
        if clock.monotonic_s() - self.renewed_s > self.lease.ttl_ms / 5000:
            leases.renew(self.lease)
            self.renewed_s = clock.monotonic_s()
        return total

    def _save_batch(self, pieces: list[Piece], sent: dict[int, Ticks], now_msc: int) -> None:
        self.gate.check()
        offset_ms = self.target.offset_ms
        contexts = [feedstate.context_before(p, sent.get(p.state.feed_id, tick_arrays.empty())) for p in pieces]
        ticks = tick_arrays.join([piece.ticks for piece in pieces])
        times = ticks["time_msc"] - offset_ms
        hours = digest.by_part(
            ticks, [len(piece.ticks) for piece in pieces], times // clock.HOUR_MS, offset_ms=offset_ms
        )
        parts = tuple(
            feedstate.part_of(piece, self.target, context=context, hours=own)
            for piece, context, own in zip(pieces, contexts, hours, strict=True)
        )
        capture = inbox.Capture(
            source_id=self.target.source_id,
            poll_msc=now_msc - offset_ms,
            parts=parts,
            payload=Payload(
                ticks=ticks.tobytes(),
                marks=b"".join(core_batch.pack_marks(piece.seq, piece.late) for piece in pieces),
                context=b"".join(context.tobytes() for context in contexts),
            ),
            first_msc=int(times.min()) if len(times) else None,
            last_msc=int(times.max()) if len(times) else None,
        )
        batch_id = inbox.save(
            capture,
            lease=self.lease,
            moves=self._moves(pieces),
            now=self.read_at,
            publish_again_ms=self.options.publish_again_ms,
        )
        self.publish(batch_id)
        self.renewed_s = clock.monotonic_s()
        self._after_commit(batch_id, pieces, sent)

    def _moves(self, pieces: list[Piece]) -> list[Move]:
        filled = [piece for piece in pieces if len(piece.ticks)]
        return [self._move(piece) for piece in filled if self.beside is None or piece.state.position is None]

    def _move(self, piece: Piece) -> Move:
        if self.beside is None:
            return feedstate.move_of(piece, epoch_id=self.target.epoch_id)
        # A feed without a cursor gets it where the poller beside begins, or that would capture these ticks again.
        return Move(piece.state.feed_id, self.beside.epoch_id, self.beside.begins_msc(piece.state.symbol), 0, None)

    def _after_commit(self, batch_id: int, pieces: list[Piece], sent: dict[int, Ticks]) -> None:
        for piece in pieces:
            state = piece.state
            state.is_error_saved = state.error is not None
            if len(piece.ticks) == 0:
                continue
            if self.beside is None or state.position is None:
                move = self._move(piece)
                state.position = Position(
                    move.epoch_id, move.last_msc, move.taken, version=(move.version or 0) + 1, last_batch_id=batch_id
                )
                if self.beside is None:
                    self.seen.note_made(move.last_msc - self.target.offset_ms)
            epochview.remember(self.terminal, feed_id=state.feed_id, ticks=piece.ticks)
            sent[state.feed_id] = tick_arrays.join([sent.get(state.feed_id, tick_arrays.empty()), piece.ticks])[
                -CONTEXT_TICKS:
            ]
        late = sum(int(np.count_nonzero(piece.late)) for piece in pieces)
        metrics.LATE_TICKS.labels(self.target.name).inc(late)
        count = sum(len(piece.ticks) for piece in pieces)
        self.captured += count
        metrics.CAPTURED_TICKS.labels(self.target.name).inc(count)


def _fill(pieces: list[Piece], now_msc: int) -> tuple[list[Piece], list[Piece]]:
    """Take pieces in order until a batch is full, cutting the one that does not fit."""
    chosen: list[Piece] = []
    room = BATCH_TICKS_MAX
    for place, piece in enumerate(pieces):
        if len(piece.ticks) <= room:
            chosen.append(piece)
            room -= len(piece.ticks)
            continue
        if room == 0:
            return chosen, pieces[place:]
        first, rest = feedstate.cut(piece, room, now_msc=now_msc)
        return [*chosen, first], [rest, *pieces[place + 1 :]]
    return chosen, []
