"""One feed as its poller holds it: cursor, tail, and the part that the last read would add."""

from dataclasses import dataclass, field, replace

import numpy as np

from ingest.cursors import Move, Position
from ingest.minutes import Minutes
from ingest.tail import CONTEXT_TICKS, Reading, Tail
from ingest.target import Target
from tickhub.core import ticks as tick_arrays
from tickhub.core.batch import Part
from tickhub.core.digest import Digest
from tickhub.core.ticks import Int64s, Mask, Ticks

# So many of the rows that a terminal no longer shows are told whole, the others counted.
GONE_TOLD = 16


@dataclass(slots=True)
class FeedState:
    """What a poller knows of one feed; times are in the terminal's clock."""

    feed_id: int
    symbol: str
    begins_msc: int
    position: Position | None
    tail: Tail
    # The terminal's last_error of the newest read, None where it worked, and whether a batch has told it.
    error: tuple[int, str] | None = None
    is_error_saved: bool = False
    # The newest read did not reach the end: a page was full.
    is_cut: bool = False
    # What left the tail, minute by minute.
    minutes: Minutes = field(init=False)

    def __post_init__(self) -> None:
        self.minutes = Minutes(complete_from_msc=self.tail.complete_from_msc)

    @property
    def last_msc(self) -> int:
        """Return the cursor's millisecond, or the feed's begin before its first tick."""
        return self.position.last_msc if self.position else self.begins_msc

    @property
    def first_second(self) -> int:
        """See :class:`ingest.synchronising.Known`."""
        return self.tail.first_second

    def captured_before(self, second: int) -> int:
        """See :class:`ingest.synchronising.Known`."""
        times = self.tail.times
        # The tail may begin within a second, of which no whole one is read.
        is_read = (times >= self.first_second * 1000) & (times < second * 1000)
        return int(np.count_nonzero(~self.tail.is_gone & is_read))


@dataclass(frozen=True, slots=True)
class Piece:
    """New rows of one feed, in order of capture, cut to fit into a batch."""

    state: FeedState
    ticks: Ticks
    seq: Int64s
    late: Mask
    cursor_after: tuple[int, int]
    # Rows captured earlier that the terminal no longer shows.
    missing: Ticks
    # Sorted milliseconds of the rows captured before, from the second that was read on.
    captured_msc: Int64s
    # Why the feed's past could not be read, in the terminal's words, where that is to be told.
    unread: tuple[int, str] | None = None

    @property
    def is_worth_saving(self) -> bool:
        """Return whether the piece says anything: ticks, a changed history, or an error not told yet."""
        return (
            len(self.ticks) > 0
            or len(self.missing) > 0
            or self.unread is not None
            or (self.state.error is not None and not self.state.is_error_saved)
        )


def failed_piece(state: FeedState) -> Piece:
    """Make the piece of a feed whose read failed: no rows, the cursor untouched."""
    none = np.zeros(0, dtype=np.int64)
    return Piece(
        state, tick_arrays.empty(), none, none.astype(bool), before(state), tick_arrays.empty(), captured_msc=none
    )


def piece_of(state: FeedState, reading: Reading, *, now_msc: int) -> Piece:
    """Make a piece of a reading: rows behind the cursor are late, rows after the poll's time do not move it."""
    times = reading.new["time_msc"]
    late = times < state.position.last_msc if state.position else np.zeros(len(times), dtype=bool)
    after = _front(state, reading.times, now_msc)
    earlier = state.tail.times[reading.start :]
    return Piece(state, reading.new, reading.seq, late, after, reading.gone, captured_msc=earlier)


def before(state: FeedState) -> tuple[int, int]:
    """Return the cursor as it stands: last millisecond and ticks taken in it."""
    return (state.position.last_msc, state.position.taken) if state.position else (state.begins_msc, 0)


def _front(state: FeedState, captured_msc: Int64s, now_msc: int) -> tuple[int, int]:
    """Return the cursor for the sorted milliseconds of all rows captured from its own second on.

    A tick from the future must not carry the cursor along, for what comes before it would never be read; once the
    terminal's time has reached it, the cursor follows. Where the time was set back behind the cursor, that stays, and
    counts what came into its millisecond.
    """
    place = int(captured_msc.searchsorted(now_msc, side="right")) - 1
    is_behind = place < 0 or captured_msc[place] < before(state)[0]
    last_msc = before(state)[0] if is_behind else int(captured_msc[place])
    first, end = captured_msc.searchsorted([last_msc, last_msc + 1]).tolist()
    return last_msc, end - first


def cut(piece: Piece, size: int, *, now_msc: int) -> tuple[Piece, Piece]:
    """Cut a piece in order: the first holds ``size`` rows."""
    first = piece.ticks[:size]
    captured_msc = np.sort(np.concatenate([piece.captured_msc, first["time_msc"]]))
    after = _front(piece.state, captured_msc, now_msc)
    if piece.cursor_after == before(piece.state):
        # Rows of the past, which say nothing about the cursor.
        after = piece.cursor_after
    return (
        replace(piece, ticks=first, seq=piece.seq[:size], late=piece.late[:size], cursor_after=after),
        replace(
            piece,
            ticks=piece.ticks[size:],
            seq=piece.seq[size:],
            late=piece.late[size:],
            missing=tick_arrays.empty(),
            captured_msc=captured_msc,
        ),
    )


def part_of(piece: Piece, target: Target, *, context: Ticks, hours: dict[int, Digest]) -> Part:
    """Describe a piece: counts, cursors and the digest of each UTC hour."""
    position, repeated = piece.state.position, target.repeated(piece.state.feed_id)
    if repeated and not is_any_within(piece.ticks["time_msc"], repeated.from_msc, repeated.to_msc):
        repeated = None
    skipped = target.skipped
    if skipped and not is_any_within(piece.ticks["time_msc"], *skipped):
        skipped = None
    return Part(
        feed_id=piece.state.feed_id,
        epoch_id=target.epoch_id,
        offset_ms=target.offset_ms,
        count=len(piece.ticks),
        context_count=len(context),
        cursor=(position.last_msc, position.taken) if position else None,
        cursor_after=piece.cursor_after,
        hours=hours,
        missing=len(piece.missing),
        gone=tuple(record.tobytes().hex() for record in piece.missing[:GONE_TOLD]),
        error=piece.state.error or piece.unread,
        repeated=repeated,
        skipped_from_msc=skipped[0] if skipped else None,
        is_cut=piece.state.is_cut,
    )


def is_any_within(times: Int64s, from_msc: int, to_msc: int) -> bool:
    """Return whether any time lies in ``[from_msc, to_msc)``."""
    return bool(((times >= from_msc) & (times < to_msc)).any())


def move_of(piece: Piece, *, epoch_id: int) -> Move:
    """Return the cursor's move for a piece; a feed without a cursor gets one in the epoch given."""
    last_msc, taken = piece.cursor_after
    position = piece.state.position
    if position is None:
        return Move(piece.state.feed_id, epoch_id, last_msc, taken, None)
    return Move(piece.state.feed_id, position.epoch_id, last_msc, taken, position.version)


def context_before(piece: Piece, sent: Ticks) -> Ticks:
    """Return the last 64 rows captured before a piece, given the rows of this poll already sent."""
    if len(piece.ticks) == 0:
        return tick_arrays.empty()
    context = piece.state.tail.context
    return context if len(sent) == 0 else tick_arrays.join([context, sent])[-CONTEXT_TICKS:]
