"""An agent's terminal as capture sees it: its reads are requests over the connection."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from ingest.bridge.link import Link
from ingest.sources.breaker import Circuit
from ingest.sources.constants import Constants
from ingest.sources.terminal import Health, PlainSource, Terminal
from ingest.sources.terminal import Link as Connected
from ingest.wire import limits
from ingest.wire.messages import (
    DigestRequest,
    Digests,
    Failed,
    Hello,
    ReadRequest,
    Rows,
    TerminalError,
)
from tickhub.core import ticks as tick_arrays
from tickhub.core import zones
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import Digest
from tickhub.core.symbols import SymbolFacts
from tickhub.core.ticks import Ticks

_SUCCESS: TerminalError = (Constants.RES_S_OK, "Success")
# So much of the past is asked for at once.
_ASKED_MOST_MS = 32 * HOUR_MS
# Symbol, from, to.
Period: TypeAlias = tuple[str, int, int]
_LATE: TerminalError = (0, "no answer from the agent in time")
_TOO_MANY: TerminalError = (0, f"over {limits.READ_TICKS} ticks in one read")

_TOO_LATE: TerminalError = (0, "rows of a read were read later than the terminal's time is by now")
_NO_END: TerminalError = (0, "more rows of a read were told, and none given")
_OTHER: TerminalError = (0, "an answer of another kind")
# How much further than told an agent's time may be: it runs through its own clock's seconds.
_AHEAD_MS = 5_000
_OUT_OF_PLACE: TerminalError = (0, "rows of a read are outside its period or in no order")


def _follows(ticks: Ticks, from_msc: int, to_msc: int) -> bool:
    """Return whether ticks lie in a period, in the order of time: what compares them searches by it."""
    times = ticks["time_msc"]
    return len(times) == 0 or bool(from_msc <= times[0] and times[-1] < to_msc and (times[:-1] <= times[1:]).all())


class RemoteTerminal(Constants):
    """The part of a terminal that passes over the past need. Fits :class:`ingest.sources.terminal.Terminal`.

    Every call may raise :class:`ingest.bridge.link.LinkEnded`.
    """

    def __init__(self, link: Link, symbols: Sequence[str], *, is_replay: bool) -> None:
        """The time of a recording (``is_replay``) passes at any speed."""
        self._link = link
        self._is_replay = is_replay
        self._indexes = {symbol: index for index, symbol in enumerate(symbols)}
        self._last_error = _SUCCESS
        # The newest time of the terminal at which rows were read.
        self.read_msc = 0

    def _latest_msc(self) -> int:
        return (1 << 62) if self._is_replay else self._link.latest_msc() + _AHEAD_MS

    def last_error(self) -> TerminalError:
        """Return the error of the last read."""
        return self._last_error

    def copy_ticks_range(self, symbol: str, date_from: int, date_to: int, flags: int, /) -> Ticks | None:
        """Return the ticks between two seconds, both ends inclusive."""
        return self.read(symbol, date_from * 1000, date_to * 1000 + 1)

    def read(self, symbol: str, from_msc: int, to_msc: int) -> Ticks | None:
        """Return the ticks of ``[from_msc, to_msc)``; None is a failure, told by :meth:`last_error`."""
        index, pieces, count, newest_msc = self._indexes[symbol], [], 0, from_msc
        self._last_error = _LATE
        for answer in self._link.ask(lambda number: ReadRequest(number, index, from_msc, to_msc)):
            if isinstance(answer, Rows):
                if answer.now_msc > self._latest_msc():
                    self._last_error = _TOO_LATE
                    return None
                if not len(answer.ticks) and answer.has_more:
                    self._last_error = _NO_END
                    return None
                if not _follows(answer.ticks, newest_msc, to_msc):
                    self._last_error = _OUT_OF_PLACE
                    return None
                if len(answer.ticks):
                    newest_msc = int(answer.ticks["time_msc"][-1])
                pieces.append(answer.ticks)
                self.read_msc = max(self.read_msc, answer.now_msc)
                count += len(answer.ticks)
                if count > limits.READ_TICKS:
                    self._last_error = _TOO_MANY
                    return None
                if not answer.has_more:
                    self._last_error = _SUCCESS
                    return tick_arrays.join(pieces)
            else:
                self._last_error = answer.error if isinstance(answer, Failed) else _OTHER
                return None
        return None

    def digests(self, periods: Sequence[Period], *, shift_ms: int) -> list[Digest | TerminalError]:
        """Return the digest, or the terminal's error, of each period ``(symbol, from_msc, to_msc)``."""
        found: list[Digest | TerminalError] = []
        for some in bounded(periods):
            found += self._some_digests(tuple((self._indexes[s], low, high) for s, low, high in some), shift_ms)
        return found

    def _some_digests(
        self, periods: tuple[tuple[int, int, int], ...], shift_ms: int
    ) -> Sequence[Digest | TerminalError]:
        for answer in self._link.ask(lambda number: DigestRequest(number, shift_ms, periods)):
            if isinstance(answer, Digests) and len(answer.digests) == len(periods):
                return answer.digests
            error = answer.error if isinstance(answer, Failed) else (0, "an answer of another length")
            return [error] * len(periods)
        return [_LATE] * len(periods)

    def copy_ticks_from(self, symbol: str, date_from: int, count: int, flags: int, /) -> Ticks | None:
        """Fail: reading forward is the agent's own part."""
        self._last_error = (Constants.RES_E_UNSUPPORTED, "an agent reads forward by itself")
        return None

    def shutdown(self) -> None:
        """Do nothing: the terminal is the agent's."""

    def terminal_info(self) -> Any | None:  # Any: TerminalInfo
        """Return nothing: agents do not tell."""
        return None

    def account_info(self) -> Any | None:  # Any: AccountInfo
        """Return nothing: account numbers stay with the agent."""
        return None

    def symbol_info(self, symbol: str, /) -> Any | None:  # Any: SymbolInfo
        """Return nothing: the hello has told."""
        return None

    def symbol_info_tick(self, symbol: str, /) -> Any | None:  # Any: Tick
        """Return nothing: ticks come in frames."""
        return None

    def symbol_select(self, symbol: str, enable: bool = True, /) -> bool:
        """Say whether the agent has the symbol; it selects them by itself."""
        return symbol in self._indexes


def bounded(periods: Sequence[Period]) -> Iterator[list[Period]]:
    """Cut periods into requests that a terminal can answer in time."""
    some: list[Period] = []
    asked_ms = 0
    for period in periods:
        length_ms = period[2] - period[1]
        if some and (len(some) == limits.PERIODS or asked_ms + length_ms > _ASKED_MOST_MS):
            yield some
            some, asked_ms = [], 0
        some.append(period)
        asked_ms += length_ms
    if some:
        yield some


class RemoteSource(PlainSource):
    """An agent as an open source. Fits :class:`ingest.sources.terminal.OpenSource`."""

    can_be_reread = False
    notes: tuple[str, ...] = ()

    def __init__(self, link: Link, hello: Hello, *, offset_ms: int, told_offset_ms: int) -> None:
        """``offset_ms`` is that of the epoch under way, ``told_offset_ms`` that of the hello's times."""
        self.symbols = tuple(described.symbol for described in hello.symbols)
        self.remote = RemoteTerminal(link, self.symbols, is_replay=hello.is_replay)
        self.terminal: Terminal = self.remote
        self.server_name = hello.server_name
        self.is_replay = hello.is_replay
        # How fast a recording is played the agent does not tell: its ticks' ages say nothing.
        self.is_in_real_time = not hello.is_replay
        self.clock = zones.fixed(offset_ms)
        self.start_msc = hello.now_msc - told_offset_ms
        self._offset_ms, self._told_offset_ms = offset_ms, told_offset_ms
        self._link = link
        self._described = {described.symbol: described for described in hello.symbols}

    def begin_poll(self) -> int:
        """Return the time as the agent told it last."""
        return self._link.now_msc - self._offset_ms

    def shown_msc(self, polled_msc: int) -> int:
        """Return up to when the agent's rows may have been made: it answers at a time of its own."""
        return max(polled_msc, self.remote.read_msc - self._offset_ms)

    def facts(self) -> Mapping[str, SymbolFacts]:
        """Return what the agent's terminal says of its symbols."""
        said = self._link.facts.copy()
        return {symbol: said[index] for index, symbol in enumerate(self.symbols) if index in said}

    def health(self) -> Health:
        """Return the state of the agent's terminal as told last; the time hung is that of this connection."""
        told = self._link.condition
        hung_ms = max(told.hung_ms - (self._link.hung_before_ms or 0), 0)
        return Health(Connected(told.link), Circuit(told.circuit), told.failures, hung_ms / 1000)

    def is_exhausted(self) -> bool:
        """Return False: the agent says when it is done."""
        return False

    def begins_msc(self, symbol: str, now_msc: int) -> int:
        """Return where the agent begins."""
        return self._described[symbol].begins_msc - self._told_offset_ms

    def digits(self, symbol: str) -> int:
        """Return the decimals of a symbol's prices."""
        return self._described[symbol].digits

    def is_quoted(self, symbol: str) -> bool:
        """Return whether the price basis is bid and ask."""
        return self._described[symbol].is_quoted
