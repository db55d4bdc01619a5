"""Reads what a terminal shows from the bridge's cursors on, and builds frames of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ingest import reading
from ingest.sources.terminal import Terminal
from ingest.synchronising import Synchroniser
from ingest.wire import cursors, limits
from ingest.wire.messages import Cursor, Frame, FramePart, TerminalError, WireEpoch
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Ticks

_NOTHING_SHOWN: TerminalError = (0, "no row of those captured")
_DISORDER: TerminalError = (0, "rows in no order of time")


@dataclass(slots=True)
class Feed:
    """One symbol: the cursor as it will be once every frame sent is taken, and what was told of it last."""

    index: int
    symbol: str
    cursor: Cursor
    told_error: TerminalError | None = None
    # Ticks from the terminal's future do not move the cursor: sent once, they are not sent again with every poll.
    told: Ticks | None = None
    has_more: bool = False

    @property
    def first_second(self) -> int:
        """See :class:`ingest.synchronising.Known`."""
        return self.cursor[0] // 1000

    def captured_before(self, second: int) -> int:
        """See :class:`ingest.synchronising.Known`: of the cursor's second, only the ticks it counts are known."""
        return self.cursor[1] if self.cursor[0] < second * 1000 else 0


class Reader:
    """Polls every symbol of a terminal; holds back those whose history is still being fetched."""

    def __init__(
        self,
        terminal: Terminal,
        symbols: Sequence[str],
        begins: Sequence[Cursor],
        *,
        page_ticks: int,
        synchroniser: Synchroniser,
        breathe: Callable[[], None] = lambda: None,
        epoch: WireEpoch | None = None,
    ) -> None:
        """``begins`` are the bridge's cursors; what is not of the ``epoch`` is not sent.

        ``breathe`` is called between two symbols: a poll may take longer than the bridge bears silence.
        """
        self._breathe = breathe
        self.terminal = terminal
        self.synchroniser = synchroniser
        self.feeds = [Feed(i, s, c) for i, (s, c) in enumerate(zip(symbols, begins, strict=True))]
        self._page_ticks = page_ticks
        self._epoch = epoch
        self._number = 0

    def set_cursors(self, moved: Sequence[tuple[int, int, int]]) -> None:
        """Go on from the bridge's cursors."""
        for index, last_msc, taken in moved:
            feed = self.feeds[index]
            feed.cursor, feed.told, feed.has_more = (last_msc, taken), None, False

    @property
    def is_behind(self) -> bool:
        """Return whether a symbol has more than the last frame could hold."""
        return any(feed.has_more for feed in self.feeds)

    @property
    def has_errors(self) -> bool:
        """Return whether the newest read of any symbol failed."""
        return any(feed.told_error is not None for feed in self.feeds)

    @property
    def is_whole(self) -> bool:
        """Return whether every symbol was read up to the tick that the terminal itself calls its newest.

        A terminal that is still fetching its history shows a part of it without any sign.
        """
        if self.synchroniser.is_waiting:
            return False
        newest = ((feed, self.terminal.symbol_info_tick(feed.symbol)) for feed in self.feeds)
        return all(tick is None or tick.time_msc <= feed.cursor[0] for feed, tick in newest)

    def frame(self, now_msc: int) -> Frame | None:
        """Read every symbol once; None where there is nothing new. The cursors go on as the bridge will move them."""
        parts: list[FramePart] = []
        room = self._page_ticks
        for feed in self.feeds:
            self._breathe()
            part = self._part(feed, now_msc, room)
            if part is not None:
                parts.append(part)
                room -= len(part.ticks)
        if not parts:
            return None
        self._number += 1
        return Frame(self._number, now_msc, tuple(parts))

    def _part(self, feed: Feed, now_msc: int, room: int) -> FramePart | None:
        if not self.synchroniser.is_agreed(feed, now_msc=now_msc):
            feed.has_more = False
            return None
        if room == 0:
            feed.has_more = True
            return None
        try:
            ticks, is_cut = self._new(feed, room, now_msc)
        except reading.ReadFailed as error:
            return self._failed(feed, (error.code, error.text))
        feed.told_error, feed.has_more = None, is_cut
        after = cursors.after(feed.cursor, ticks, now_msc)
        is_told = feed.told is not None and after == feed.cursor and tick_arrays.same(feed.told, ticks)
        if len(ticks) == 0 or is_told:
            return None
        part = FramePart(feed.index, feed.cursor, ticks, is_cut)
        feed.told = None if after != feed.cursor else ticks
        feed.cursor = after
        return part

    def _failed(self, feed: Feed, error: TerminalError) -> FramePart | None:
        """Tell a failed read, once until it changes."""
        feed.has_more = False
        if feed.told_error == error:
            return None
        feed.told_error = error
        return FramePart(feed.index, feed.cursor, tick_arrays.empty(), error=error)

    def _new(self, feed: Feed, room: int, now_msc: int) -> tuple[Ticks, bool]:
        """Return the rows behind the cursor, by position in its millisecond, and whether there are more.

        :raises reading.ReadFailed: if the terminal cannot be read, or shows nothing of what it showed before
        """
        last_msc, taken = feed.cursor
        page = reading.read_forward(
            self.terminal, feed.symbol, from_second=last_msc // 1000, count=self._page_ticks + taken
        )
        times = np.ascontiguousarray(page.ticks["time_msc"])
        if len(times) == 0 and taken:
            self.terminal.symbol_select(feed.symbol, True)
            raise reading.ReadFailed(symbol=feed.symbol, code=_NOTHING_SHOWN[0], text=_NOTHING_SHOWN[1])
        if (times[1:] < times[:-1]).any():
            raise reading.ReadFailed(symbol=feed.symbol, code=_DISORDER[0], text=_DISORDER[1])
        low, high = times.searchsorted([last_msc, last_msc + 1]).tolist()
        ticks = page.ticks[min(low + taken, high) :]
        end = len(ticks)
        limit_msc = self._limit_msc(now_msc)
        if limit_msc is not None:
            end = int(ticks["time_msc"].searchsorted(limit_msc))
        # What stands at or behind the limit is not sent now, whether it is on this page or not.
        is_cut = page.is_cut and end == len(ticks)
        return ticks[: min(end, room)], is_cut or end > room

    def _limit_msc(self, now_msc: int) -> int | None:
        """Return from where on ticks are not of the epoch, or not to be told from those of the epoch before."""
        if self._epoch is None:
            return None
        ahead_msc = now_msc + limits.MIXED_AHEAD_MS
        if self._epoch.mixed_until_msc is not None and ahead_msc < self._epoch.mixed_until_msc:
            return ahead_msc + 1
        return self._epoch.until_msc
