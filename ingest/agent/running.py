"""Runs an agent: opens the source, and keeps a connection to the bridge until told to stop."""

import logging
import random
import secrets
from collections.abc import Callable

from ingest import heartbeat
from ingest.agent import conversation
from ingest.agent import link as links
from ingest.agent.conversation import Conversation, Way
from ingest.agent.link import Address
from ingest.agent.refusals import Refusals
from ingest.agent.watch import Watch
from ingest.sources import opening
from ingest.sources.opening import Playback
from ingest.sources.spec import AgentSpec, SourceSpec
from ingest.sources.terminal import OpenSource
from ingest.wire import closing
from ingest.wire.closing import Closing
from tickhub.core import clock
from tickhub.core.errors import TickhubError, TransientError, UsageError

logger = logging.getLogger(__name__)

# First and longest wait before connecting again, doubled in between, with full jitter.
_BACK_OFF_S = (0.1, 5.0)


class SourceTaken(TickhubError):
    """Another agent, or a poller, captures the source."""


def run(spec: SourceSpec, where: Address, way: Way) -> None:
    """Send what a source shows until it is played or the agent is told to stop.

    :raises UsageError: if the source cannot be opened, or the bridge refuses the agent for good
    :raises SourceTaken: if another agent goes on holding the source
    """
    if isinstance(spec, AgentSpec):
        raise UsageError(f"source {spec.text}: an agent needs a terminal, as in mt5:NAME or replay:PATH")
    source = _open(spec, None, way.should_stop)
    if source is None:
        return
    for note in source.notes:
        logger.warning("left out", extra={"source": spec.identity, "what": note})
    _Agent(spec, source, where, way).run()


def _open(spec: SourceSpec, reached_msc: int | None, should_stop: Callable[[], bool]) -> OpenSource | None:
    """Open the source, again and again while its terminal does not answer; None if told to stop meanwhile."""
    wait_s = _BACK_OFF_S[0]
    while True:
        heartbeat.beat()
        try:
            return opening.open_source(
                spec, playback=Playback(origin_msc=clock.now_msc(), start_msc=reached_msc, reached_msc=reached_msc)
            )
        except TransientError as error:
            logger.warning("terminal not available", extra={"source": spec.identity, "error": str(error)})
        if should_stop():
            return None
        wait_s = _pause(wait_s)


def _pause(wait_s: float) -> float:
    clock.sleep(random.uniform(0, wait_s))  # noqa: S311  # jitter, no secret
    return min(wait_s * 2, _BACK_OFF_S[1])


class _Agent:
    """Connects again and again; what it knows beyond one connection is only that it is the same agent."""

    def __init__(self, spec: SourceSpec, source: OpenSource, where: Address, way: Way) -> None:
        self._spec = spec
        self._source = source
        self._watch = Watch(source)
        self._where = where
        self._way = way
        self._instance = secrets.token_hex(16)
        self._refusals = Refusals()
        self._wait_s = _BACK_OFF_S[0]

    def run(self) -> None:
        while True:
            heartbeat.beat()
            try:
                self._converse()
            except Closing as why:
                self._judge(why)
            except TransientError as error:
                self._refusals.passed()
                logger.warning("bridge not available", extra={"reason": str(error)})
            else:
                return
            if self._way.should_stop():
                return
            self._wait_s = _pause(self._wait_s)

    def _converse(self) -> None:
        # Before there is a connection: a terminal that has to be started takes longer than a handshake may.
        begun_msc = self._source.begin_poll()
        greeting = conversation.hello(self._source, self._instance, self._spec.priority, now_msc=begun_msc)
        with links.opened(self._where) as link:
            terms = conversation.welcome(link, greeting)
            self._refusals.passed()
            self._wait_s = _BACK_OFF_S[0]
            logger.info("connected", extra={"bridge": self._where.url, "source": terms.source})
            offset_ms = conversation.offset_ms(self._source, terms)
            reached_msc = max(last_msc for last_msc, _ in terms.cursors) - offset_ms
            if self._source.is_replay and begun_msc < reached_msc:
                self._catch_up(reached_msc)
                begun_msc = self._source.begin_poll()
            Conversation(link, self._source, self._watch, terms, self._way, begun_msc=begun_msc).run()

    def _catch_up(self, reached_msc: int) -> None:
        """Let a recording show at least what the bridge has captured of it: the agent itself kept nothing."""
        opened = _open(self._spec, reached_msc, self._way.should_stop)
        if opened is not None:
            self._source, self._watch = opened, Watch(opened)

    def _judge(self, why: Closing) -> None:
        """Decide whether to try again after the bridge has closed with a reason.

        :raises UsageError, SourceTaken: if not
        """
        if why.code in closing.FINAL:
            raise UsageError(f"the bridge refused this agent ({why.code}): {why.reason}")
        logger.warning("bridge closed", extra={"code": why.code, "reason": why.reason})
        if why.code == closing.REPLACED:
            raise SourceTaken(f"the bridge ended this connection ({why.code}): {why.reason}")
        if self._refusals.is_rival(why.code, now_s=clock.monotonic_s()):
            raise SourceTaken(f"the bridge refused this agent ({why.code}): {why.reason}")
