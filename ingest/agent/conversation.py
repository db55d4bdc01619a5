"""One connection's conversation: says hello, polls and sends while the window has room, answers the bridge."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from ingest import heartbeat
from ingest.agent.answering import Answerer
from ingest.agent.epochend import EpochEnd
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
from tickhub.core.symbols import SymbolFacts

logger = logging.getLogger(__name__)

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


def offset_ms(source: OpenSource, terms: Welcome) -> int:
    """Return the terminal's clock minus UTC, in which all times travel: where it is switched, in the epoch told."""
    return source.clock.shift_ms if terms.epoch is None else terms.epoch.offset_ms


def hello(source: OpenSource, instance: str, priority: int | None, *, now_msc: int) -> Hello:
    """Introduce a source; ``priority`` is that of its SPEC, which goes before its own.

    ``now_msc`` is the source's time (UTC). A clock that is switched is told as its rule: the bridge says in which of
    its epochs capture stands.
    """
    is_switched = source.clock.zone is not None
    shift_ms = 0 if is_switched else source.clock.shift_ms
    return Hello(
        protocol=limits.PROTOCOL,
        instance=instance,
        program=_PROGRAM,
        server_name=source.server_name,
        is_replay=source.is_replay,
        offset_ms=None if is_switched else shift_ms,
        now_msc=now_msc + shift_ms,
        symbols=tuple(_symbol(source, symbol, now_msc, shift_ms) for symbol in source.symbols),
        priority=source.priority if priority is None else priority,
        clock=source.clock.text if is_switched else None,
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
            if (message.epoch is None) != (greeting.clock is None):
                raise Closing(closing.OTHER_PROTOCOL, "the bridge knows no clock that is switched")
            _check(message, len(greeting.symbols))
            return message
    raise BridgeUnavailable("the bridge says no welcome")


def _check(terms: Welcome, count: int) -> None:
    if len(terms.cursors) != count:
        raise Closing(closing.MALFORMED, "the bridge's welcome has another number of cursors")


class Conversation:
    """Sends what a source shows until told to stop."""

    def __init__(
        self, link: Link, source: OpenSource, watch: Watch, terms: Welcome, way: Way, *, begun_msc: int | None = None
    ) -> None:
        """``begun_msc`` is the time (UTC) of a poll that was begun before; None where none was."""
        self._link = link
        self._source = source
        self._watch = watch
        self._way = way
        self._begin(terms)
        self._answerer = Answerer(source.terminal, source.symbols, watch.synchroniser, self._breathe, self._read_msc)
        self._unanswered = 0
        self._begun_msc = begun_msc
        self._is_refused = False
        self._is_settled = False
        self._now_msc = 0
        self._poll_at_s = self._sent_s = self._heard_s = self._listened_s = clock.monotonic_s()
        self._is_idle = False
        self._told: Condition | None = None
        self._told_facts: dict[str, SymbolFacts] = {}
        self._looked_s = -_LOOK_S
        self._is_doubted = False

    def _begin(self, terms: Welcome) -> None:
        """Go on from a welcome's cursors, in the epoch that it tells."""
        self._terms = terms
        self._offset_ms = offset_ms(self._source, terms)
        self._reader = Reader(
            self._source.terminal,
            self._source.symbols,
            terms.cursors,
            page_ticks=min(self._way.page_ticks, terms.frame_ticks),
            synchroniser=self._watch.synchroniser,
            breathe=self._breathe,
            epoch=terms.epoch,
        )
        self._end = None if terms.epoch is None else EpochEnd(terms.epoch, self._reader, self._watch, self._source)
        # From the word that an epoch is read to the next welcome nothing is polled, and no time is told.
        self._is_between = False

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
            condition = replace(self._watch.condition(self._offset_ms), link=Connected.WRONG_ACCOUNT.value)
            self._link.send(Beat(self._now_msc, condition))
            raise
        finally:
            heartbeat.on_request(None)

    def _converse(self) -> None:
        self._now_msc = self._begin_poll()
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
        is_over = self._is_between or (self._end is not None and self._end.is_over(self._now_msc))
        is_sent = self._is_idle and self._unanswered == 0 and not self._reader.has_errors and not is_over
        # Without its broker a terminal shows old ticks: that there is nothing new is no end.
        is_sent = is_sent and self._source.health().link is Connected.CONNECTED
        return self._way.until_drained and is_sent and self._source.is_exhausted() and self._reader.is_whole

    def _begin_poll(self) -> int:
        """Begin a poll where none is begun, and return its time on the terminal's clock."""
        if self._begun_msc is None:
            self._begun_msc = self._source.begin_poll()
        return self._begun_msc + self._offset_ms

    def _read_msc(self) -> int:
        """Return the terminal's time of a read just made; 0 where its clock is never switched."""
        if self._terms.epoch is None:
            return 0
        # A recording stands between two polls.
        return self._now_msc if self._source.is_replay else clock.now_msc() + self._offset_ms

    def _poll_if_due(self) -> None:
        now_s = clock.monotonic_s()
        is_full = self._unanswered >= self._terms.window or self._is_refused
        if now_s < self._poll_at_s or is_full or self._is_between:
            return
        self._poll_at_s = now_s + self._way.interval_s
        self._now_msc, self._begun_msc = self._begin_poll(), None
        offset_ms = self._offset_ms
        self._watch.look(
            self._now_msc - offset_ms, cursors_msc=[feed.cursor[0] - offset_ms for feed in self._reader.feeds]
        )
        self._tell_condition()
        self._tell_facts(now_s)
        frame = self._reader.frame(self._now_msc)
        self._is_idle = frame is None
        if self._end is not None:
            self._end.note_poll(self._now_msc)
        if frame is None:
            self._end_epoch()
            return
        self._link.send(frame)
        self._sent_s = clock.monotonic_s()
        self._unanswered += 1
        if self._reader.is_behind or sum(len(part.ticks) for part in frame.parts) >= _BUSY_TICKS:
            self._poll_at_s = 0.0

    def _end_epoch(self) -> None:
        """Say that the epoch is over where it is, and all of it was read; the bridge welcomes the agent in the next."""
        is_idle = self._unanswered == 0 and not self._reader.is_behind
        said = None if self._end is None else self._end.look(self._now_msc, is_idle=is_idle)
        # What has changed meanwhile, as a doubt of the history, is told first.
        self._tell_condition()
        if said is not None:
            self._link.send(said)
            self._is_between = True

    def _tell_condition(self) -> None:
        """Say how the terminal is wherever that has changed, before the frame that may show it."""
        if self._watch.condition(self._offset_ms) != self._told:
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
        self._told = self._watch.condition(self._offset_ms)
        self._link.send(Beat(None if self._is_between else self._now_msc, self._told, busy_s))
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
            case Welcome():
                self._go_on(message)
            case Settled():
                self._is_settled = True
                if not message.is_compared:
                    logger.warning(
                        "the past was not compared: the terminal may still be fetching it; the next connection does"
                    )

    def _go_on(self, terms: Welcome) -> None:
        """Go on in the next epoch of the terminal's clock."""
        if not self._is_between or terms.epoch is None:
            raise Closing(closing.MALFORMED, "the bridge said a welcome that was not waited for")
        _check(terms, len(self._source.symbols))
        before_ms = self._offset_ms
        self._begin(terms)
        self._now_msc += self._offset_ms - before_ms
        self._now_msc = self._begin_poll()
        self._is_idle, self._poll_at_s = False, 0.0
        # On another clock now, and as of a connection that the bridge may have heard of before the switch.
        self._watch.repeat_doubt()
        self._beat()

    def _finish(self) -> None:
        """Wait until every frame is answered and the bridge has compared the past."""
        deadline_s = clock.monotonic_s() + _SETTLE_S
        is_asked = False
        while not self._is_settled:
            if self._way.should_stop() and clock.monotonic_s() > deadline_s:
                return
            if self._unanswered == 0 and not self._is_between and not is_asked:
                is_asked = True
                self._link.send(Done())
            self._listen()
            if not self._way.should_stop():
                deadline_s = clock.monotonic_s() + _SETTLE_S
