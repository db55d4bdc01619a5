"""Waits for a terminal's history after a connection: no row is captured before two reads in a row agree.

A terminal that was connected, or found its broker again, fetches what it missed. Until it has, reads show a part of
the past without any sign of it: taken for the whole, they would move the cursor past rows that are still to come.
"""

import logging
from collections.abc import Iterator
from typing import Protocol

from ingest import reading
from ingest.sources.terminal import Terminal
from tickhub.core import clock, digest
from tickhub.core.digest import Digest

logger = logging.getLogger(__name__)

# Two reads that agree are at least so far apart.
PAUSE_S = 0.25
# A terminal stops waiting for its history after 45 s; what still does not agree then is captured as it is shown.
MOST_S = 60.0
# So long after a connection the history may still grow, anywhere in it.
DOUBT_S = 120.0
# A terminal that nobody has looked at for so long may have lost its broker, and found it again, meanwhile.
UNSEEN_S = 60.0
# How much of a long past one read asks for.
_PIECE_S = 6 * 3600


class Known(Protocol):
    """One symbol, and what was captured of its newest seconds."""

    symbol: str

    @property
    def first_second(self) -> int:
        """Return the first second of which the captured rows are known."""

    def captured_before(self, second: int) -> int:
        """Return how many rows captured from :attr:`first_second` up to a second the terminal should show."""


class Synchroniser:
    """Knows which symbols of one source can be captured. Seconds are the terminal's."""

    def __init__(self, *, terminal: Terminal) -> None:
        self._terminal = terminal
        self._connections = 0
        self._looked_s = clock.monotonic_s()
        self._running: dict[str, Iterator[None]] = {}
        self._agreed: set[str] = set()
        self._from_msc: int | None = None
        # Symbols that are captured as they are shown, because no two reads agreed in time.
        self.unagreed: set[str] = set()

    def has_changed(self, connections: int) -> bool:
        """Return whether the terminal was connected anew since the last call; then nothing is agreed any more."""
        is_unseen = connections > 0 and clock.monotonic_s() - self._looked_s > UNSEEN_S
        self._looked_s = clock.monotonic_s()
        if connections == self._connections and not is_unseen:
            return False
        self._connections = connections
        self.doubt()
        return True

    def doubt(self, *, from_msc: int | None = None) -> None:
        """Take no history for whole any more until two reads agree again, from a time on or the tail."""
        self._from_msc = from_msc
        self._running.clear()
        self._agreed.clear()
        self.unagreed.clear()

    @property
    def is_waiting(self) -> bool:
        """Return whether a symbol is still being synchronised."""
        return bool(self._running)

    def is_whole(self, symbol: str) -> bool:
        """Return whether what the terminal shows of a symbol's past is not still being fetched."""
        return symbol not in self._running

    def is_agreed(self, known: Known, *, now_msc: int) -> bool:
        """Go one step on with a symbol; return whether it can be captured.

        A read that fails does not count, and leaves it to the poll's own read to tell of the error.
        """
        symbol = known.symbol
        if self._connections == 0 or symbol in self._agreed:
            return True
        if symbol not in self._running:
            self._running[symbol] = self._agree(known, now_msc // 1000)
        try:
            self._step(symbol)
        except StopIteration:
            self._agreed.add(symbol)
        except reading.ReadFailed:
            logger.debug("history not read", extra={"symbol": symbol})
        else:
            return False
        del self._running[symbol]
        return True

    def _step(self, symbol: str) -> None:
        try:
            next(self._running[symbol])
        finally:
            # A long read is no absence.
            self._looked_s = clock.monotonic_s()

    def _agree(self, known: Known, end: int) -> Iterator[None]:
        """Read from the first second known, or doubted, to ``end`` until two reads agree; yields whenever a poll may
        go on."""
        symbol, start, begun_s = known.symbol, known.first_second, clock.monotonic_s()
        if self._from_msc is not None:
            start = min(start, self._from_msc // 1000)
        captured = known.captured_before(end)
        before: Digest | None = None
        while clock.monotonic_s() - begun_s < MOST_S:
            seen, read_s = digest.ZERO, clock.monotonic_s()
            for begin in range(start, end, _PIECE_S):
                stop = min(begin + _PIECE_S, end)
                ticks = reading.read_range(self._terminal, symbol, from_second=begin, to_second=stop)
                seen += digest.of(ticks)
                if stop < end:
                    yield
            if seen == before and seen.count >= captured and self._shows_latest(symbol, start):
                return
            before = seen
            while clock.monotonic_s() - read_s < PAUSE_S:
                yield
        self.unagreed.add(symbol)
        logger.warning("history not synchronised, captured as it is shown", extra={"symbol": symbol})

    def _shows_latest(self, symbol: str, start: int) -> bool:
        """Return whether the history reaches the tick that the terminal itself calls its newest."""
        latest = self._terminal.symbol_info_tick(symbol)
        if latest is None or latest.time_msc < start * 1000:
            return True
        second = latest.time_msc // 1000
        shown = reading.read_range(self._terminal, symbol, from_second=second, to_second=second + 1)
        return len(shown) > 0 and bool(shown["time_msc"][-1] >= latest.time_msc)
