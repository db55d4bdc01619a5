"""What a simulated terminal plays for one symbol: its rows, and which of them are visible at a time.

All times are milliseconds in the terminal's clock. A tape has no clock: every question names the terminal's time.
"""

from typing import Protocol

import numpy as np

from ingest.sources.market import Market
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Int64s, Ticks


class Tape(Protocol):
    """The history of one symbol as it is visible at ``now_msc``: stably sorted by time, arrays of their own."""

    def forward(self, from_msc: int, count: int, now_msc: int) -> Ticks:
        """Return the first ``count`` visible rows from a time on, oldest first."""

    def between(self, from_msc: int, to_msc: int, now_msc: int) -> Ticks:
        """Return the visible rows of ``[from_msc, to_msc]``, both ends inclusive, oldest first."""

    def latest(self, now_msc: int) -> Ticks:
        """Return the newest visible row, shape (1,), or (0,) where there is none."""


class RecordingTape:
    """A recording's rows in order of arrival.

    Row ``i`` is visible from the latest time of the rows up to it: a row behind an earlier one arrives with it, as a
    late insertion into the history.
    """

    def __init__(self, ticks: Ticks) -> None:
        times = np.ascontiguousarray(ticks["time_msc"])
        # When each row becomes visible, never falling.
        self.shown_at: Int64s = np.maximum.accumulate(times)
        self.first_msc = int(times.min())
        self._arrival: Int64s | None = None
        self._ticks, self._times = ticks, self.shown_at
        if np.any(times != self.shown_at):
            self._arrival = np.argsort(times, kind="stable")
            self._ticks, self._times = ticks[self._arrival], times[self._arrival]

    def forward(self, from_msc: int, count: int, now_msc: int) -> Ticks:
        """See :meth:`Tape.forward`."""
        low = self._start(from_msc)
        if self._arrival is None:
            return self._ticks[low : min(low + count, self._end(now_msc))].copy()
        visible = self._visible(low, self._end(now_msc), now_msc)
        return visible if len(visible) <= count else visible[:count].copy()

    def between(self, from_msc: int, to_msc: int, now_msc: int) -> Ticks:
        """See :meth:`Tape.between`."""
        return self._visible(self._start(from_msc), self._end(min(to_msc, now_msc)), now_msc)

    def latest(self, now_msc: int) -> Ticks:
        """See :meth:`Tape.latest`."""
        shown = self.count_shown(now_msc)
        if shown == 0:
            return self._ticks[:0].copy()
        newest_msc = int(self.shown_at[shown - 1])
        return self._visible(self._start(newest_msc), self._end(newest_msc), now_msc)[-1:]

    def count_shown(self, now_msc: int) -> int:
        """Return how many rows are visible."""
        return int(np.searchsorted(self.shown_at, now_msc, side="right"))

    def _start(self, time_msc: int) -> int:
        return int(np.searchsorted(self._times, time_msc, side="left"))

    def _end(self, time_msc: int) -> int:
        return int(np.searchsorted(self._times, time_msc, side="right"))

    def _visible(self, low: int, high: int, now_msc: int) -> Ticks:
        rows = self._ticks[low:high]
        if self._arrival is None:
            return rows.copy()
        visible: Ticks = rows[self._arrival[low:high] < self.count_shown(now_msc)]
        return visible


class GeneratedTape:
    """A generated market: its rows up to now."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def forward(self, from_msc: int, count: int, now_msc: int) -> Ticks:
        """See :meth:`Tape.forward`."""
        pieces: list[Ticks] = []
        found, start_msc = 0, from_msc
        while found < count and start_msc <= now_msc:
            # To the end of a second, so that no second is generated twice.
            end_msc = (start_msc // 1000 + self._market.seconds_for(count - found)) * 1000
            piece = self._market.ticks_between(start_msc, min(end_msc, now_msc + 1))[: count - found]
            pieces.append(piece)
            found += len(piece)
            start_msc = end_msc
        return np.concatenate(pieces) if pieces else tick_arrays.empty().copy()

    def between(self, from_msc: int, to_msc: int, now_msc: int) -> Ticks:
        """See :meth:`Tape.between`."""
        return self._market.ticks_between(from_msc, min(to_msc, now_msc) + 1).copy()

    def latest(self, now_msc: int) -> Ticks:
        """See :meth:`Tape.latest`."""
        # Looks back twice as far each time: a slow market may have had no tick for minutes.
        span_s, end_msc = self._market.seconds_for(1), now_msc + 1
        while True:
            start_msc = (end_msc - 1) // 1000 * 1000 - span_s * 1000
            piece = self._market.ticks_between(start_msc, end_msc)
            if len(piece) or start_msc < 0:
                return piece[-1:].copy()
            span_s, end_msc = span_s * 2, start_msc
