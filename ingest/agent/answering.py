"""Answers what the bridge asks: digests and ticks of a period, from the terminal."""

from collections.abc import Callable, Iterator

from ingest import reading
from ingest.sources.terminal import Terminal
from ingest.synchronising import Synchroniser
from ingest.wire import limits
from ingest.wire.messages import DigestRequest, Digests, Failed, ReadRequest, Rows, TerminalError
from tickhub.core import digest
from tickhub.core.digest import Digest
from tickhub.core.ticks import Ticks

_UNKNOWN: TerminalError = (0, "no symbol of that index")
_DOUBTED: TerminalError = (0, "the history is still being fetched")


class Answerer:
    """Answers from one terminal. What it is still fetching is an error: a part would be taken for the whole."""

    def __init__(
        self,
        terminal: Terminal,
        symbols: tuple[str, ...],
        synchroniser: Synchroniser,
        breathe: Callable[[], None] = lambda: None,
        now_msc: Callable[[], int] = lambda: 0,
    ) -> None:
        """``breathe`` is called between two reads: an answer may take longer than the bridge bears silence.

        ``now_msc`` tells the terminal's time, 0 where the bridge need not know when something was read.
        """
        self._now_msc = now_msc
        self._breathe = breathe
        self._terminal = terminal
        self._symbols = symbols
        self._synchroniser = synchroniser

    def digests(self, request: DigestRequest) -> Digests:
        """Return the digest, or the terminal's error, of each period."""
        return Digests(request.request, tuple(self._digest(period, request.shift_ms) for period in request.periods))

    def _digest(self, period: tuple[int, int, int], shift_ms: int) -> Digest | TerminalError:
        self._breathe()
        found = self._read(*period)
        return found if isinstance(found, tuple) else digest.of(found, offset_ms=shift_ms)

    def rows(self, request: ReadRequest) -> Iterator[Rows | Failed]:
        """Yield the ticks of a period in as many messages as they need, or the terminal's error."""
        ticks = self._read(request.index, request.from_msc, request.to_msc)
        if isinstance(ticks, tuple):
            yield Failed(request.request, ticks)
            return
        now_msc = self._now_msc()
        for start in range(0, max(len(ticks), 1), limits.FRAME_TICKS):
            end = start + limits.FRAME_TICKS
            yield Rows(request.request, ticks[start:end], has_more=end < len(ticks), now_msc=now_msc)

    def _read(self, index: int, from_msc: int, to_msc: int) -> Ticks | TerminalError:
        if index >= len(self._symbols):
            return _UNKNOWN
        if not self._synchroniser.is_whole(self._symbols[index]):
            return _DOUBTED
        try:
            ticks = reading.read_range(
                self._terminal, self._symbols[index], from_second=from_msc // 1000, to_second=-(-to_msc // 1000)
            )
        except reading.ReadFailed as error:
            return error.code, error.text
        start, end = ticks["time_msc"].searchsorted([from_msc, to_msc]).tolist()
        return ticks[start:end]
