"""Answers what the bridge asks: digests and ticks of a period, from the terminal."""

from collections.abc import Iterator

from ingest import reading
from ingest.sources.terminal import Terminal
from ingest.wire import limits
from ingest.wire.messages import DigestRequest, Digests, Failed, ReadRequest, Rows, TerminalError
from tickhub.core import digest
from tickhub.core.digest import Digest
from tickhub.core.ticks import Ticks

_UNKNOWN: TerminalError = (0, "no symbol of that index")


def digests(terminal: Terminal, symbols: tuple[str, ...], request: DigestRequest) -> Digests:
    """Return the digest, or the terminal's error, of each period."""

    def one(index: int, from_msc: int, to_msc: int) -> Digest | TerminalError:
        if index >= len(symbols):
            return _UNKNOWN
        try:
            ticks = _read(terminal, symbols[index], from_msc, to_msc)
        except reading.ReadFailed as error:
            return error.code, error.text
        return digest.of(ticks, offset_ms=request.shift_ms)

    return Digests(request.request, tuple(one(*period) for period in request.periods))


def rows(terminal: Terminal, symbols: tuple[str, ...], request: ReadRequest) -> Iterator[Rows | Failed]:
    """Yield the ticks of a period in as many messages as they need, or the terminal's error."""
    if request.index >= len(symbols):
        yield Failed(request.request, _UNKNOWN)
        return
    try:
        ticks = _read(terminal, symbols[request.index], request.from_msc, request.to_msc)
    except reading.ReadFailed as error:
        yield Failed(request.request, (error.code, error.text))
        return
    for start in range(0, max(len(ticks), 1), limits.FRAME_TICKS):
        end = start + limits.FRAME_TICKS
        yield Rows(request.request, ticks[start:end], has_more=end < len(ticks))


def _read(terminal: Terminal, symbol: str, from_msc: int, to_msc: int) -> Ticks:
    ticks = reading.read_range(terminal, symbol, from_second=from_msc // 1000, to_second=-(-to_msc // 1000))
    start, end = ticks["time_msc"].searchsorted([from_msc, to_msc]).tolist()
    return ticks[start:end]
