"""The tail of a feed: what was captured of its last seconds, to compare each re-read with.

It is rebuilt from the inbox at start and after every error, and never stored by itself (docs/adr/0001).
"""

from dataclasses import dataclass

import numpy as np

from ingest import comparing
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Int64s, Mask, Ticks

CONTEXT_TICKS = 64
_NONE = tick_arrays.empty()


@dataclass(frozen=True, slots=True)
class Reading:
    """A re-read compared with the tail: the new rows with their seq, the captured rows that are newly gone, and the
    tail from place ``start`` on as it will be once the new rows are committed."""

    new: Ticks
    seq: Int64s
    gone: Ticks
    rows: Ticks
    times: Int64s
    is_gone: Mask
    start: int


class Tail:
    """Captured rows of one feed in the terminal's clock, sorted by time in the terminal's order.

    It holds every row captured from ``complete_from_msc`` on. ``times`` repeats their milliseconds contiguously, as
    searching a field of records would copy it each time. ``is_gone`` marks rows that the terminal no longer shows:
    they stay captured, keep their seq, and are recognised if they come back. ``context`` holds the last 64 rows in
    order of capture.
    """

    def __init__(self, *, captured: Ticks, context: Ticks, complete_from_msc: int) -> None:
        self.rows = captured
        self.times: Int64s = np.ascontiguousarray(captured["time_msc"])
        self.is_gone: Mask = np.zeros(len(captured), dtype=bool)
        self.complete_from_msc = complete_from_msc
        self.context = context

    @property
    def first_second(self) -> int:
        """Return the first second of which the tail holds every captured row."""
        return -(-self.complete_from_msc // 1000)

    def start_of(self, second: int) -> int:
        """Return the place of the first row of a second or later."""
        return int(self.times.searchsorted(second * 1000))

    def compare(self, seen: Ticks, *, from_second: int, is_cut: bool) -> Reading:
        """Compare rows that a terminal shows from a second on with the tail, which is left unchanged.

        ``is_cut`` says that a page ended the read: what lies at or behind its last millisecond is not missed.
        """
        start = self.start_of(from_second)
        expected, was_gone = self.rows[start:], self.is_gone[start:]
        result = comparing.compare(expected, seen)
        times: Int64s = np.ascontiguousarray(seen["time_msc"])
        new = seen[result.is_new]
        seq = comparing.next_seqs(times[result.is_new], self.times[start:])
        unseen = result.is_gone
        if not unseen.any():
            return Reading(new, seq, expected[:0], seen, times, np.zeros(len(seen), dtype=bool), start)
        beyond = self.times[start:] >= (times[-1] if len(seen) else 0) if is_cut else np.zeros_like(unseen)
        gone = unseen & (~beyond | was_gone)
        rows = tick_arrays.join([seen, expected[unseen]])
        marks = np.concatenate([np.zeros(len(seen), dtype=bool), gone[unseen]])
        order = np.argsort(rows["time_msc"], kind="stable")
        newly_gone = expected[gone & ~was_gone]
        return Reading(
            new, seq, newly_gone, rows[order], np.ascontiguousarray(rows["time_msc"][order]), marks[order], start
        )

    def advance(self, reading: Reading, *, keep_from_msc: int) -> Ticks:
        """Take over a reading after its batch has committed; return the rows let go, older than ``keep_from_msc``."""
        cut = int(self.times[: reading.start].searchsorted(keep_from_msc))
        late_cut = int(reading.times.searchsorted(keep_from_msc))
        kept = slice(cut, reading.start)
        let_go = tick_arrays.join([self.rows[:cut], reading.rows[:late_cut]]) if cut or late_cut else _NONE
        self.rows = tick_arrays.join([self.rows[kept], reading.rows[late_cut:]])
        self.times = np.concatenate([self.times[kept], reading.times[late_cut:]])
        self.is_gone = np.concatenate([self.is_gone[kept], reading.is_gone[late_cut:]])
        self.complete_from_msc = max(self.complete_from_msc, keep_from_msc)
        self.remember(reading.new)
        return let_go

    def remember(self, new: Ticks) -> None:
        """Add newly captured rows to the context."""
        if len(new):
            self.context = tick_arrays.join([self.context, new[-CONTEXT_TICKS:]])[-CONTEXT_TICKS:]

    def taken(self, time_msc: int) -> int:
        """Return how many rows of one millisecond are captured."""
        left, right = self.times.searchsorted([time_msc, time_msc + 1]).tolist()
        return int(right - left)
