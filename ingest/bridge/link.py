"""The thread's side of one connection: frames and answers come in, messages go out."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeAlias

from ingest.wire import closing, limits
from ingest.wire.closing import Closing
from ingest.wire.messages import (
    Beat,
    Condition,
    DigestRequest,
    Digests,
    Done,
    EpochRead,
    Failed,
    Frame,
    FromBridge,
    ReadRequest,
    Rows,
    Validate,
)
from tickhub.core import clock
from tickhub.core.errors import TickhubError
from tickhub.core.symbols import SymbolFacts

# Changes of a terminal's condition that may wait while the database is slow.
_NEWS_MOST = 64

# All the answers to one request may take so many times what one may.
_ANSWERS_MOST = 4

AgentAnswer: TypeAlias = Digests | Rows | Failed
# What the thread takes in order.
InTurn: TypeAlias = Frame | Beat | EpochRead | Done | Validate


class LinkEnded(TickhubError):
    """The connection is gone, or has to end: the session must stop."""


class Link:
    """Connects a session's thread with the socket. ``transmit`` sends a message and returns at once."""

    def __init__(self, *, transmit: Callable[[FromBridge], None], answer_s: float = limits.ANSWER_S) -> None:
        self.send = transmit
        self._answer_s = answer_s
        self._frames: deque[InTurn] = deque()
        self._answers: deque[AgentAnswer] = deque()
        self._changed = threading.Condition()
        self._awaited: int | None = None
        self._requests = 0
        self._is_ended = False
        self._is_stopping = False
        self._is_held_up = False
        self.now_msc = 0
        # When that was told, of the monotonic clock.
        self.told_s = clock.monotonic_s()
        # Called every second while an answer is waited for.
        self.while_waiting: Callable[[], None] = lambda: None
        # The newest condition told, and the time hung before this connection; defaults until the first beat.
        self.condition = Condition()
        self.hung_before_ms: int | None = None
        # What the terminal says of symbols, by index.
        self.facts: dict[int, SymbolFacts] = {}
        # Whether a session that takes no more frames has compared the past.
        self.is_settled = False

    @property
    def is_ended(self) -> bool:
        """Return whether the connection is gone."""
        return self._is_ended

    @property
    def is_stopping(self) -> bool:
        """Return whether the bridge takes no more frames."""
        return self._is_stopping

    @property
    def is_held_up(self) -> bool:
        """Return whether the agent has sent more than the window: no answer is read before a frame is taken."""
        return self._is_held_up

    def hold_up(self, is_held_up: bool) -> None:
        """Say whether reading waits for a frame to be taken."""
        with self._changed:
            self._is_held_up = is_held_up
            self._changed.notify_all()

    @property
    def has_frames(self) -> bool:
        """Return whether a frame waits."""
        return bool(self._frames)

    def note_time(self, now_msc: int) -> None:
        """Note the terminal's time as the agent tells it; an older one says nothing."""
        if now_msc > self.now_msc:
            self.now_msc, self.told_s = now_msc, clock.monotonic_s()

    def latest_msc(self) -> int:
        """Return the terminal's time by now, where it passes as fast as ours."""
        return self.now_msc + round((clock.monotonic_s() - self.told_s) * 1000)

    def end(self) -> None:
        """Wake the thread up for the last time."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Let the thread take no more frames."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()

    @property
    def has_news(self) -> bool:
        """Return whether a change of the terminal's condition waits."""
        with self._changed:
            return any(isinstance(message, Beat) for message in self._frames)

    def put_news(self, beat: Beat) -> None:
        """Hand a beat that tells another condition to the thread, in order with the frames.

        :raises Closing: if too many wait
        """
        with self._changed:
            count = sum(isinstance(message, Beat) for message in self._frames)
        if count >= _NEWS_MOST:
            raise Closing(closing.TRY_LATER, f"{count} changes of the terminal's condition wait")
        if self.hung_before_ms is None:
            self.hung_before_ms = beat.condition.hung_ms
        self.condition = beat.condition
        self.put(beat)

    def put(self, message: InTurn) -> None:
        """Hand a frame to the thread."""
        with self._changed:
            self._frames.append(message)
            self._changed.notify_all()

    def put_answer(self, answer: AgentAnswer) -> None:
        """Hand an answer to the thread; one that nobody waits for any more is dropped."""
        with self._changed:
            if answer.request == self._awaited:
                self._answers.append(answer)
                self._changed.notify_all()

    def next(self, timeout_s: float) -> InTurn | None:
        """Return the next message put, None where none came in time or none is taken any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_ended or bool(self._frames and not self._is_stopping), timeout_s)
            if self._is_ended or self._is_stopping or not self._frames:
                return None
            return self._frames.popleft()

    def ask(self, make: Callable[[int], DigestRequest | ReadRequest]) -> Iterator[AgentAnswer]:
        """Send a request and yield its answers as they come; it ends where one is late.

        :raises LinkEnded: if the connection ends meanwhile
        """
        self._requests += 1
        with self._changed:
            self._awaited = self._requests
            self._answers.clear()
        self.send(make(self._requests))
        deadline_s = clock.monotonic_s() + self._answer_s * _ANSWERS_MOST
        try:
            while (answer := self._wait_for_answer(deadline_s)) is not None:
                yield answer
        finally:
            self._awaited = None

    def _wait_for_answer(self, deadline_s: float) -> AgentAnswer | None:
        """Return the next answer, None where it is late: after a minute, and whatever came meanwhile at a deadline."""
        end_s = min(clock.monotonic_s() + self._answer_s, deadline_s)
        while True:
            with self._changed:
                wait_s = min(max(end_s - clock.monotonic_s(), 0.0), 1.0)
                self._changed.wait_for(lambda: self._answers or self._is_ended or self._is_held_up, wait_s)
                if self._is_ended:
                    raise LinkEnded("the agent's connection ended")
                if clock.monotonic_s() >= deadline_s:
                    return None
                if self._answers:
                    return self._answers.popleft()
                if self._is_held_up or clock.monotonic_s() >= end_s:
                    return None
            self.while_waiting()
