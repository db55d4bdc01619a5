"""What a terminal shows of one epoch of its clock: the rows whose wall clock is of that epoch, and no others.

A terminal's history is sorted by wall clock. Where the clock is set back, an hour holds the rows of both passes, mixed.
Those of the first pass are the ones captured before the switch: they are taken away, as a multiset, from what the
second pass is shown, and are all that the first pass is shown of the stretch that the second pass has reached. Where
the clock is set forward, rows within the hour left out are shown to the epoch before the switch: the broker has not
switched yet.
"""

from collections.abc import Callable

import numpy as np

from ingest import comparing, queries
from ingest.sources.terminal import Readable
from ingest.target import Target
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Mask, Ticks

# Rows so far ahead of the second pass are of the first: clocks of broker and host differ by a second or two.
AHEAD_MS = 60_000


def of(terminal: Readable, target: Target, *, now_msc: Callable[[], int], seen_msc: Callable[[str], int]) -> Readable:
    """Return the terminal as it shows the target's epoch; where the clock never changes, as it is."""
    if len(target.epochs.rows) == 1:
        return terminal
    return EpochView(terminal, target, now_msc=now_msc, seen_msc=seen_msc)


def remember(view: Readable, *, feed_id: int, ticks: Ticks) -> None:
    """Let a view know what its poller has captured through it; a terminal shown as it is need not know."""
    if isinstance(view, EpochView):
        view.remember(feed_id, ticks)


class EpochView:
    """A terminal as it shows one epoch. Fits :class:`ingest.sources.terminal.Readable`."""

    def __init__(
        self, terminal: Readable, target: Target, *, now_msc: Callable[[], int], seen_msc: Callable[[str], int]
    ) -> None:
        """``now_msc`` tells the UTC time of the poll under way, ``seen_msc`` up to when a symbol was read before."""
        self._terminal = terminal
        self._target = target
        self._now_msc = now_msc
        self._seen_msc = seen_msc
        self.COPY_TICKS_ALL = terminal.COPY_TICKS_ALL
        epochs, place = target.epochs, target.place
        self._begins_msc = target.epoch.wall_start_msc
        self._ends_msc = target.epoch.ends_msc + target.offset_ms + epochs.skipped_ms(place)
        self._own = epochs.repeated(place)
        self._next = epochs.repeated(place + 1)
        # The first pass of a repeated hour as captured, by feed; read when first needed. What its poller captures later
        # is added; where another one did, there has to be a new view.
        self._first_pass: dict[int, Ticks] | None = None

    def remember(self, feed_id: int, ticks: Ticks) -> None:
        """Add what was captured of this epoch, where it is the first pass of a repeated hour."""
        if self._next is None or self._first_pass is None or self._own is not None:
            return
        inside = (ticks["time_msc"] >= self._next[0]) & (ticks["time_msc"] < self._next[1])
        if not inside.any():
            return
        known = tick_arrays.join([self._first_pass.get(feed_id, tick_arrays.empty()), ticks[inside]])
        self._first_pass[feed_id] = known[np.argsort(known["time_msc"], kind="stable")]

    def copy_ticks_from(self, symbol: str, date_from: int, count: int, flags: int, /) -> Ticks | None:
        """See :meth:`Readable.copy_ticks_from`; asks for more while rows of other epochs fill the page."""
        asked = count
        while True:
            rows = self._terminal.copy_ticks_from(symbol, date_from, asked, flags)
            if rows is None:
                return None
            shown = self.shown(symbol, rows)
            is_beyond = len(rows) > 0 and rows["time_msc"][-1] >= self._ends_msc
            if len(rows) < asked or len(shown) >= count or is_beyond:
                return shown[:count]
            asked *= 2

    def copy_ticks_range(self, symbol: str, date_from: int, date_to: int, flags: int, /) -> Ticks | None:
        """See :meth:`Readable.copy_ticks_range`."""
        rows = self._terminal.copy_ticks_range(symbol, date_from, date_to, flags)
        return None if rows is None else self.shown(symbol, rows)

    def last_error(self) -> tuple[int, str]:
        """See :meth:`Readable.last_error`."""
        return self._terminal.last_error()

    def symbol_select(self, symbol: str, enable: bool = True, /) -> bool:
        """See :meth:`Readable.symbol_select`."""
        return self._terminal.symbol_select(symbol, enable)

    def hidden(self, symbol: str, from_msc: int, to_msc: int) -> Ticks | None:
        """Return the rows of a period that a terminal shows beside the epoch's own; None where only its rows tell."""
        is_within = self._begins_msc <= from_msc and to_msc <= self._ends_msc
        if not is_within or (self._has_second_begun and _overlap(self._next, from_msc, to_msc)):
            return None
        if not _overlap(self._own, from_msc, to_msc):
            return tick_arrays.empty()
        is_reached = to_msc <= self._now_msc() + self._target.offset_ms + AHEAD_MS
        return self._captured_between(symbol, from_msc, to_msc) if is_reached else None

    @property
    def _has_second_begun(self) -> bool:
        """Return whether rows of the next epoch may be shown among those of this one."""
        return self._next is not None and self._now_msc() >= self._target.epoch.ends_msc - AHEAD_MS

    def shown(self, symbol: str, rows: Ticks) -> Ticks:
        """Return which of a terminal's rows, in the order of their times, are of the epoch."""
        start, end = np.searchsorted(rows["time_msc"], [self._begins_msc, self._ends_msc]).tolist()
        shown = rows[start:end]
        if self._own is not None:
            shown = shown[~self._is_hidden(symbol, shown, self._own, self._now_msc() + self._target.offset_ms)]
        if self._next is not None and self._has_second_begun:
            second = self._target.epochs.rows[self._target.place + 1]
            is_first = self._is_hidden(symbol, shown, self._next, self._now_msc() + second.offset_ms)
            if self._now_msc() < self._target.epoch.ends_msc:
                # The broker may switch a little before the host's clock says so. What was never read is of the first
                # pass all the same.
                is_first |= shown["time_msc"] > self._seen_msc(symbol) + self._target.offset_ms
            shown = shown[~self._is_unknown(shown, is_first)]
        return shown

    def _is_hidden(self, symbol: str, rows: Ticks, zone: tuple[int, int], second_now_msc: int) -> Mask:
        """Mark the rows of a repeated hour that are of its first pass, as far as the second has gone."""
        times = rows["time_msc"]
        within = (times >= zone[0]) & (times < zone[1])
        if not within.any():
            return within
        reached = within & (times <= second_now_msc + AHEAD_MS)
        hidden = within & ~reached
        place = np.flatnonzero(reached)
        known = self._captured(symbol, rows[place])
        is_new, _ = comparing.multiset_difference(known, rows[place])
        hidden[place[~is_new]] = True
        return hidden

    def _is_unknown(self, rows: Ticks, is_first: Mask) -> Mask:
        """Mark the rows of the repeated hour that are not of its first pass."""
        zone = self._next or (0, 0)
        times = rows["time_msc"]
        return (times >= zone[0]) & (times < zone[1]) & ~is_first

    def _captured(self, symbol: str, rows: Ticks) -> Ticks:
        """Return what was captured of the first pass in the time that the rows span."""
        if len(rows) == 0:
            return tick_arrays.empty()
        return self._captured_between(symbol, int(rows["time_msc"][0]), int(rows["time_msc"][-1]) + 1)

    def _captured_between(self, symbol: str, from_msc: int, to_msc: int) -> Ticks:
        if self._first_pass is None:
            self._first_pass = self._read_first_pass()
        known = self._first_pass.get(self._target.feeds[symbol][0], tick_arrays.empty())
        low, high = known["time_msc"].searchsorted([from_msc, to_msc]).tolist()
        return known[low:high]

    def _read_first_pass(self) -> dict[int, Ticks]:
        place = self._target.place if self._own is not None else self._target.place + 1
        zone = self._target.epochs.repeated(place)
        if zone is None:
            return {}
        offset_ms = self._target.epochs.rows[place - 1].offset_ms
        found = queries.captured_between(
            source_id=self._target.source_id, from_msc=zone[0] - offset_ms, to_msc=zone[1] - offset_ms
        )
        return {feed_id: captured.ticks for feed_id, captured in found.items()}


def _overlap(zone: tuple[int, int] | None, from_msc: int, to_msc: int) -> bool:
    return zone is not None and from_msc < zone[1] and zone[0] < to_msc
