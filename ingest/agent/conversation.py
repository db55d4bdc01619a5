"""One connection's conversation: says hello, polls and sends while the window has room, answers the bridge."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from ingest import heartbeat
from ingest.agent.answering import Answerer
from ingest.agent.forward import Reader
from ingest.agent.link import BridgeUnavailable, Link
from ingest.agent.watch import Watch
from ingest.sources.account import WrongAccount
from ingest.sources.terminal import Link as Connected
from ingest.sources.terminal import OpenSource
from ingest.wire import closing, limits
from ingest.wire.closing import Closing
from ingest.wire.messages import (
    Answer,
    Beat,
    Condition,
    DigestRequest,
    Done,
    Facts,
    FromBridge,
    Hello,
    ReadRequest,
    Settled,
    Symbol,
    Welcome,
)
from tickhub.core import clock
from tickhub.core.errors import UsageError
from tickhub.core.symbols import SymbolFacts

_PROGRAM = "tickhub"
# A frame of so many ticks is followed by the next poll at once.
_BUSY_TICKS = 8_192
# How often it is looked whether the terminal says something else of a symbol.
_LOOK_S = 5.0
# How long the bridge may take to settle after the agent was told to stop.
_SETTLE_S = 10.0


@dataclass(frozen=True, slots=True)
class Way:
    """How to poll; times in seconds."""

    interval_s: float
    page_ticks: int
    until_drained: bool
    should_stop: Callable[[], bool]


def offset_ms(source: OpenSource) -> int:
    """Return the terminal's clock minus UTC, in which all times travel.

    :raises UsageError: if the clock is switched twice a year
    """
    if source.clock.zone is not None:
        raise UsageError(f"clock {source.clock.text}: an agent's clock has one offset from UTC, always; use `poll`")
    return source.clock.shift_ms


def hello(source: OpenSource, instance: str, priority: int | None) -> Hello:
    """Introduce a source; ``priority`` is that of its SPEC, which goes before its own. Raises as :func:`offset_ms`."""
    shift_ms, now_msc = offset_ms(source), source.begin_poll()
    return Hello(
        protocol=limits.PROTOCOL,
        instance=instance,
        program=_PROGRAM,
        server_name=source.server_name,
        is_replay=source.is_replay,
        offset_ms=shift_ms,
        now_msc=now_msc + shift_ms,
        symbols=tuple(_symbol(source, symbol, now_msc, shift_ms) for symbol in source.symbols),
        priority=source.priority if priority is None else priority,
    )


def _symbol(source: OpenSource, symbol: str, now_msc: int, shift_ms: int) -> Symbol:
    mapped = source.instrument(symbol)
    return Symbol(
        symbol=symbol,
        digits=source.digits(symbol),
        is_quoted=source.is_quoted(symbol),
        begins_msc=source.begins_msc(symbol, now_msc) + shift_ms,
        instrument=mapped.code,
        mapped_by=mapped.rule,
    )


def welcome(link: Link, greeting: Hello) -> Welcome:
    """Say hello and wait for the cursors.

    :raises Closing: if the bridge refuses, or answers something else
    :raises BridgeUnavailable: if the connection is gone, or no answer comes
    """
    link.send(greeting)
    deadline_s = clock.monotonic_s() + limits.DEAD_S
    while clock.monotonic_s() < deadline_s:
        message = link.receive(deadline_s - clock.monotonic_s())
        if isinstance(message, Welcome):
            if len(message.cursors) != len(greeting.symbols):
                raise Closing(closing.MALFORMED, "the bridge's welcome has another number of cursors")
            return message
    raise BridgeUnavailable("the bridge says no welcome")


class Conversation:
    """Sends what a source shows until told to stop."""

    def __init__(self, link: Link, source: OpenSource, watch: Watch, terms: Welcome, way: Way) -> None:
        self._link = link
        self._source = source
        self._watch = watch
        self._way = way
        self._terms = terms
        self._reader = Reader(
            source.terminal,
            source.symbols,
            terms.cursors,
            page_ticks=min(way.page_ticks, terms.frame_ticks),
            synchroniser=watch.synchroniser,
            breathe=self._breathe,
        )
        self._answerer = Answerer(source.terminal, source.symbols, watch.synchroniser, self._breathe)
        self._unanswered = 0
        self._is_refused = False
        self._is_settled = False
        self._now_msc = 0
        self._poll_at_s = self._sent_s = self._heard_s = self._listened_s = clock.monotonic_s()
        self._is_idle = False
        self._told: Condition | None = None
        self._told_facts: dict[str, SymbolFacts] = {}
        self._looked_s = -_LOOK_S
        self._is_doubted = False

    def run(self) -> None:
        """Converse until the source is played or the agent is told to stop, then let the bridge settle.

        :raises Closing: if the bridge closes with a reason
        :raises BridgeUnavailable: if the connection is gone
        """
        heartbeat.on_request(self._ask_for_time)
        try:
            self._converse()
        except WrongAccount:
            # The last thing that the bridge hears: it becomes an incident there.
            condition = replace(self._watch.condition(), link=Connected.WRONG_ACCOUNT.value)
            self._link.send(Beat(self._now_msc, condition))
            raise
        finally:
            heartbeat.on_request(None)

    def _converse(self) -> None:
        self._now_msc = self._terminal_msc()
        self._watch.repeat_doubt()
        self._tell_condition()
        while not self._way.should_stop():
            if self._is_played:
                if self._is_doubted:
                    break
                # Nobody polls after the end: that there is nothing new must not be a history that is being fetched.
                self._watch.synchroniser.doubt()
                self._is_doubted, self._is_idle = True, False
            self._poll_if_due()
            self._listen()
        self._finish()

    @property
    def _is_played(self) -> bool:
        """Return whether a recording has been sent to its end, if the agent is to end with it."""
        is_sent = self._is_idle and self._unanswered == 0 and not self._reader.has_errors
        return self._way.until_drained and is_sent and self._source.is_exhausted() and self._reader.is_whole

    def _terminal_msc(self) -> int:
        return self._source.begin_poll() + offset_ms(self._source)

    def _poll_if_due(self) -> None:
        now_s = clock.monotonic_s()
        if now_s < self._poll_at_s or self._unanswered >= self._terms.window or self._is_refused:
            return
        self._poll_at_s = now_s + self._way.interval_s
        self._now_msc = self._terminal_msc()
        self._watch.look(self._now_msc, cursors_msc=[feed.cursor[0] for feed in self._reader.feeds])
        self._tell_condition()
        self._tell_facts(now_s)
        frame = self._reader.frame(self._now_msc)
        self._is_idle = frame is None
        if frame is None:
            return
        self._link.send(frame)
        self._sent_s = clock.monotonic_s()
        self._unanswered += 1
        if self._reader.is_behind or sum(len(part.ticks) for part in frame.parts) >= _BUSY_TICKS:
            self._poll_at_s = 0.0

    def _tell_condition(self) -> None:
        """Say how the terminal is wherever that has changed, before the frame that may show it."""
        if self._watch.condition() != self._told:
            self._beat()

    def _tell_facts(self, now_s: float) -> None:
        """Say what the terminal says of symbols wherever that has changed."""
        if now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        said = dict(self._source.facts())
        new = tuple(
            (index, said[symbol])
            for index, symbol in enumerate(self._source.symbols)
            if symbol in said and said[symbol] != self._told_facts.get(symbol)
        )
        if new:
            self._link.send(Facts(new))
        self._told_facts |= said

    def _beat(self, busy_s: int = 0) -> None:
        self._told = self._watch.condition()
        self._link.send(Beat(self._now_msc, self._told, busy_s))
        self._sent_s = clock.monotonic_s()

    def _ask_for_time(self, extra_s: float) -> None:
        """Tell the bridge that one call into the terminal may take long: nothing is sent meanwhile."""
        self._beat(min(ceil(extra_s), limits.BUSY_S))

    def _breathe(self) -> None:
        """Beat, where that is due, in the midst of work that consists of many calls; the watchdog hears it too."""
        heartbeat.beat()
        if clock.monotonic_s() - self._sent_s >= min(self._terms.beat_s, 1.0):
            self._beat()

    def _listen(self) -> None:
        """Hear what the bridge says until the next poll; beat where nothing else was sent for long."""
        now_s = clock.monotonic_s()
        # Who does not listen hears nothing: work of the agent's own is no silence of the bridge.
        self._heard_s += now_s - self._listened_s
        is_full = self._unanswered >= self._terms.window or self._is_refused
        wait_s = 1.0 if is_full else max(self._poll_at_s - now_s, 0)
        message = self._link.receive(min(wait_s, 1.0))
        now_s = clock.monotonic_s()
        if message is not None:
            self._hear(message)
            self._heard_s = clock.monotonic_s()
        elif now_s - self._heard_s > self._terms.dead_s:
            raise BridgeUnavailable(f"nothing heard from the bridge for {self._terms.dead_s} s")
        self._breathe()
        self._listened_s = clock.monotonic_s()

    def _hear(self, message: FromBridge) -> None:
        match message:
            case Answer():
                self._unanswered -= 1
                is_recovering = self._is_refused or message.is_refused
                if is_recovering:
                    self._reader.set_cursors(message.cursors)
                # Nothing is sent before every frame under way has been answered: the last answers tell where to go on.
                self._is_refused = is_recovering and self._unanswered > 0
            case DigestRequest():
                self._link.send(self._answerer.digests(message))
            case ReadRequest():
                for answer in self._answerer.rows(message):
                    self._link.send(answer)
            case Settled():
                self._is_settled = True

    def _finish(self) -> None:
        """Wait until every frame is answered and the bridge has compared the past."""
        deadline_s = clock.monotonic_s() + _SETTLE_S
        is_asked = False
        while not self._is_settled:
            if self._way.should_stop() and clock.monotonic_s() > deadline_s:
                return
            if self._unanswered == 0 and not is_asked:
                is_asked = True
                self._link.send(Done())
            self._listen()
            if not self._way.should_stop():
                deadline_s = clock.monotonic_s() + _SETTLE_S
