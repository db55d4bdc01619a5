"""What a simulated terminal plays for one symbol: its rows, and which of them are visible at a time.

Rows and the times asked for are in the terminal's clock; ``now_msc`` is UTC. A tape has no clock: every question names
the time.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from ingest.sources import passes
from ingest.sources.market import Market
from tickhub.core import ticks as tick_arrays
from tickhub.core import zones
from tickhub.core.ticks import Int64s, Ticks
from tickhub.core.zones import Epochs

ALWAYS_UTC = zones.epochs_of([(0, 0, 0)])


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

    def __init__(self, ticks: Ticks, epochs: Epochs = ALWAYS_UTC) -> None:
        times = np.ascontiguousarray(ticks["time_msc"])
        self._utc = passes.to_utc(times, epochs)
        # When each row becomes visible, UTC, never falling.
        self.shown_at: Int64s = np.maximum.accumulate(self._utc)
        self.first_msc = int(self._utc.min())
        self._ticks, self._times = ticks, times
        self._in_arrival = ticks
        self._arrival: Int64s | None = None
        # The latest wall clock among the rows up to each.
        self._reached: Int64s = np.maximum.accumulate(times)
        if np.any(times != self._reached):
            self._arrival = np.argsort(times, kind="stable")
            self._ticks, self._times = ticks[self._arrival], times[self._arrival]

    def forward(self, from_msc: int, count: int, now_msc: int) -> Ticks:
        """See :meth:`Tape.forward`."""
        low, shown = self._start(from_msc), self.count_shown(now_msc)
        if self._arrival is None:
            return self._ticks[low : min(low + count, shown)].copy()
        visible = self._visible(low, self._end(self._reached_by(shown)), shown)
        return visible if len(visible) <= count else visible[:count].copy()

    def between(self, from_msc: int, to_msc: int, now_msc: int) -> Ticks:
        """See :meth:`Tape.between`."""
        shown = self.count_shown(now_msc)
        return self._visible(self._start(from_msc), self._end(min(to_msc, self._reached_by(shown))), shown)

    def latest(self, now_msc: int) -> Ticks:
        """See :meth:`Tape.latest`."""
        shown = self.count_shown(now_msc)
        if shown == 0:
            return self._ticks[:0].copy()
        newest = np.flatnonzero(self._utc[:shown] == self.shown_at[shown - 1])[-1]
        return self._in_arrival[newest : newest + 1].copy()

    def count_shown(self, now_msc: int) -> int:
        """Return how many rows are visible."""
        return int(np.searchsorted(self.shown_at, now_msc, side="right"))

    def _reached_by(self, shown: int) -> int:
        return int(self._reached[shown - 1]) if shown else self.first_msc - (1 << 40)

    def _start(self, time_msc: int) -> int:
        return int(np.searchsorted(self._times, time_msc, side="left"))

    def _end(self, time_msc: int) -> int:
        return int(np.searchsorted(self._times, time_msc, side="right"))

    def _visible(self, low: int, high: int, shown: int) -> Ticks:
        rows = self._ticks[low:high]
        if self._arrival is None:
            return rows.copy()
        visible: Ticks = rows[self._arrival[low:high] < shown]
        return visible


class GeneratedTape:
    """A generated market: its rows up to now, on the terminal's clock."""

    def __init__(self, market: Market, epochs: Epochs = ALWAYS_UTC) -> None:
        self._market = market
        self._epochs = epochs

    def forward(self, from_msc: int, count: int, now_msc: int) -> Ticks:
        """See :meth:`Tape.forward`."""
        pieces: list[Ticks] = []
        found = 0
        for piece in self._pieces(from_msc, zones.LATEST_MSC, now_msc, wanted=count):
            pieces.append(piece[: count - found])
            found += len(pieces[-1])
            if found >= count:
                break
        # A terminal's array owns its data.
        return tick_arrays.join(pieces).copy()

    def between(self, from_msc: int, to_msc: int, now_msc: int) -> Ticks:
        """See :meth:`Tape.between`."""
        pieces = list(self._pieces(from_msc, to_msc + 1, now_msc, wanted=None))
        # A terminal's array owns its data.
        return tick_arrays.join(pieces).copy()

    def latest(self, now_msc: int) -> Ticks:
        """See :meth:`Tape.latest`."""
        # Looks back twice as far each time: a slow market may have had no tick for minutes.
        span_s, end_msc = self._market.seconds_for(1), now_msc + 1
        while True:
            start_msc = (end_msc - 1) // 1000 * 1000 - span_s * 1000
            piece = self._market.ticks_between(start_msc, end_msc)
            if len(piece) or start_msc < 0:
                offset_ms = self._epochs.at(int(piece["time_msc"][-1])).offset_ms if len(piece) else 0
                return tick_arrays.shift(piece[-1:], offset_ms).copy()
            span_s, end_msc = span_s * 2, start_msc

    def _pieces(self, from_msc: int, to_msc: int, now_msc: int, *, wanted: int | None) -> Iterator[Ticks]:
        """Yield the rows of ``[from_msc, to_msc)`` on the wall clock, in order, about ``wanted`` at a time."""
        for low, high, offsets in self._stretches(from_msc, to_msc):
            start = low
            latest = now_msc + 1 + max(offsets)
            while start < min(high, latest):
                # To the end of a second, so that no second is generated twice.
                end = high if wanted is None else (start // 1000 + self._market.seconds_for(wanted)) * 1000
                end = min(end, high, latest)
                yield self._between(start, end, offsets, now_msc)
                start = end

    def _between(self, start: int, end: int, offsets: list[int], now_msc: int) -> Ticks:
        passes = [
            tick_arrays.shift(self._market.ticks_between(start - offset, min(end - offset, now_msc + 1)), offset)
            for offset in offsets
            if start - offset <= now_msc
        ]
        if len(passes) == 1:
            return passes[0].copy()
        rows = tick_arrays.join(passes)
        return rows[np.argsort(rows["time_msc"], kind="stable")]

    def _stretches(self, from_msc: int, to_msc: int) -> Iterator[tuple[int, int, list[int]]]:
        """Cut the wall clock where its offset changes: stretches with the offsets of their passes, in order."""
        for place, epoch in enumerate(self._epochs.rows):
            own, following = self._epochs.repeated(place), self._epochs.repeated(place + 1)
            low = own[1] if own else epoch.wall_start_msc
            high = following[0] if following else epoch.ends_msc + epoch.offset_ms
            yield from _cut(low, high, [epoch.offset_ms], from_msc, to_msc)
            if following:
                later = self._epochs.rows[place + 1].offset_ms
                yield from _cut(*following, [epoch.offset_ms, later], from_msc, to_msc)


def _cut(low: int, high: int, offsets: list[int], from_msc: int, to_msc: int) -> Iterator[tuple[int, int, list[int]]]:
    start, end = max(low, from_msc), min(high, to_msc)
    if start < end:
        yield start, end, offsets
