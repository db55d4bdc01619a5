"""Takes one frame of an agent: checks where it starts, and saves what is new of it as one batch."""

import logging
from dataclasses import replace

from ingest import feedstate
from ingest.bridge import repeats, settling
from ingest.bridge.remote import RemoteTerminal
from ingest.bridge.sieve import Sieve
from ingest.feedstate import FeedState, Piece
from ingest.poller import TAIL_MS, Poller
from ingest.tail import Reading
from ingest.wire.closing import Malformed
from ingest.wire.messages import Answer, Frame, FramePart
from tickhub.core import clock, metrics
from tickhub.core import ticks as tick_arrays

logger = logging.getLogger(__name__)


def take(poller: Poller, frame: Frame, sieve: Sieve, terminal: RemoteTerminal) -> Answer:
    """Save a frame that starts at the cursors; answer a repeated one as before; refuse any other.

    Where the agent is ahead of the inbox, ``terminal`` is asked first for what lies between: it came before.

    :raises Malformed: if its parts do not fit together
    :raises django.db.DatabaseError: as :meth:`Poller.poll`; the frame may be taken again after :meth:`Poller.load`
    :raises ingest.leases.LeaseLost, ingest.cursors.CursorMoved: as :meth:`Poller.poll`
    """
    _check(frame, len(poller.states))
    pairs = [(poller.states[part.index], part) for part in frame.parts]
    if all(part.error or part.cursor == sieve.cursor(state) for state, part in pairs):
        poller.utc_msc = frame.now_msc - poller.target.offset_ms
        skipped = [state for state, part in pairs if sieve.is_ahead(state) and sieve.brings_own(state, part)]
        settling.settle_some(poller, terminal, sieve, skipped, now_msc=frame.now_msc)
        _save(poller, [(state, sieve.admit(state, part)) for state, part in pairs], frame)
        for state, part in pairs:
            sieve.follow(state, part, now_msc=frame.now_msc)
        return _counted(poller, "taken", _answer(poller, frame, sieve, {}))
    earlier = repeats.find(poller.target, pairs)
    return _counted(poller, "refused" if earlier is None else "repeated", _answer(poller, frame, sieve, earlier))


def _counted(poller: Poller, how: str, answer: Answer) -> Answer:
    metrics.AGENT_FRAMES.labels(poller.target.name, how).inc()
    return answer


def _check(frame: Frame, count: int) -> None:
    indexes = [part.index for part in frame.parts]
    if any(index >= count for index in indexes) or len(set(indexes)) < len(indexes):
        raise Malformed(f"frame {frame.number}: a symbol's index is unknown or given twice")
    for part in frame.parts:
        times = part.ticks["time_msc"]
        if len(times) and (times[0] < part.cursor[0] or (times[1:] < times[:-1]).any()):
            raise Malformed(f"frame {frame.number}: ticks of symbol {part.index} lie before its cursor or in no order")
        if part.error and len(times):
            raise Malformed(f"frame {frame.number}: symbol {part.index} has an error and ticks")


def _answer(poller: Poller, frame: Frame, sieve: Sieve, earlier: dict[int, tuple[int, int]] | None) -> Answer:
    """Return an acknowledgement, with the cursors of an earlier one where the frame was taken before; None refuses."""
    is_refused = earlier is None
    indexes = range(len(poller.states)) if is_refused else [part.index for part in frame.parts]
    now = {index: sieve.cursor(poller.states[index]) for index in indexes} | (earlier or {})
    return Answer(frame.number, is_refused, tuple((index, *cursor) for index, cursor in now.items()))


def _save(poller: Poller, pairs: list[tuple[FeedState, FramePart]], frame: Frame) -> None:
    started_s = clock.monotonic_s()
    poller.read_at = clock.now()
    pieces: list[Piece] = []
    readings: list[tuple[FeedState, Reading]] = []
    for state, part in pairs:
        if part.error:
            note_error(poller, state, part.error)
            pieces.append(feedstate.failed_piece(state))
            continue
        state.error, state.is_error_saved, state.is_cut = None, False, part.is_cut
        found = _reading(state, part)
        readings.append((state, found))
        pieces.append(feedstate.piece_of(state, found, now_msc=frame.now_msc))
    poller.note_age(pieces, now_msc=frame.now_msc)
    poller.reach_back(pieces)
    poller.save(pieces, now_msc=frame.now_msc)
    for piece in pieces:
        _follow(piece)
    for state, found in readings:
        state.minutes.add(state.tail.advance(found, keep_from_msc=min(state.last_msc, poller.settled_msc) - TAIL_MS))
    poller.now_msc = max(poller.now_msc, frame.now_msc)
    # Of a feed that is not in the frame nothing was new, or it was not read.
    poller.note_seen([state for state, part in pairs if not part.error and not part.is_cut])
    metrics.POLL_SECONDS.labels(poller.target.name).observe(clock.monotonic_s() - started_s)


def _follow(piece: Piece) -> None:
    """Move the cursor where the terminal's time has only now reached ticks captured before: no batch records it.

    Here alone, as a restart may go on from the older cursor: the tail knows those ticks.
    """
    position = piece.state.position
    if len(piece.ticks) == 0 and position is not None:
        last_msc, taken = piece.cursor_after
        piece.state.position = replace(position, last_msc=last_msc, taken=taken)


def _reading(state: FeedState, part: FramePart) -> Reading:
    """Compare a part with the tail: its ticks follow what the cursor counts."""
    last_msc, taken = feedstate.before(state)
    second, tail = last_msc // 1000, state.tail
    start = tail.start_of(second)
    end = int(tail.times.searchsorted(last_msc)) + taken
    head = tail.rows[start:end][~tail.is_gone[start:end]]
    return tail.compare(tick_arrays.join([head, part.ticks]), from_second=second, is_cut=part.is_cut)


def note_error(poller: Poller, state: FeedState, error: tuple[int, str]) -> None:
    """Remember that a symbol could not be read; the next batch tells it, once."""
    metrics.READ_ERRORS.labels(poller.target.name).inc()
    if state.error != error:
        state.is_error_saved = False
        logger.warning(
            "terminal read failed",
            extra={"source": poller.target.name, "symbol": state.symbol, "code": error[0], "text": error[1]},
        )
    state.error = error
