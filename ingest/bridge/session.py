"""One agent's session: the poller of its source, on a thread of its own, fed by the agent's frames.

Where the terminal's clock is switched, one poller follows another, each welcomed with its epoch.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ingest import epochstart, leases, rereads
from ingest.backfill import Backfiller
from ingest.bridge import answering, epochend, registering, settling, taking
from ingest.bridge.link import Link as AgentLink
from ingest.bridge.link import LinkEnded
from ingest.bridge.remote import RemoteSource
from ingest.bridge.sieve import Sieve
from ingest.connections import ConnectionLog
from ingest.epochend import Unread
from ingest.gate import Gate
from ingest.pastepoch import PastEpoch
from ingest.poller import Poller
from ingest.sources.terminal import Link
from ingest.symbolfacts import FactLog
from ingest.synchronising import DOUBT_S
from ingest.target import Options, Target
from ingest.wire import closing, limits, lines
from ingest.wire.closing import Closing, Malformed
from ingest.wire.messages import (
    Answer,
    Beat,
    Condition,
    Cursor,
    Done,
    EpochRead,
    Frame,
    Hello,
    Settled,
    Validate,
    Validated,
    Welcome,
)
from tickhub.core import clock, metrics
from tickhub.core.errors import PermanentError

logger = logging.getLogger(__name__)

_IDLE_S = 0.1
_SETTLE_TAILS_S = 1.0
# Tails are left alone for so many times as long as comparing them took, at most as long as they may wait.
_REST = 3
# Tails that have grown beyond this, as with a recording played fast, are compared sooner.
_TAIL_TICKS = 131_072
_LOOK_S = 0.5
# A terminal's clock that is further ahead than this is wrong; a recording has its own.
_AHEAD_MS = clock.DAY_MS
# A frame of so many ticks is behind: it catches up with the past.
_BUSY_TICKS = 8_192
# When the present piles up, tails wait at most so long.
_OVERDUE_S = 5.0


class Repeat(Protocol):
    """Runs an action of a poller; after a database error it reads the cursors again and repeats it."""

    def __call__(self, poller: Poller, action: Callable[[], int | None], should_stop: Callable[[], bool], /) -> int: ...


@dataclass(frozen=True, slots=True)
class Means:
    """What a session is given by the wiring."""

    publish: Callable[[int], object]
    options: Options
    # Makes the gate before the inbox, by a source's id and name.
    gate: Callable[[int, str], Gate]
    repeat: Repeat
    # Records what of an epoch that is over was not read, and what cannot be told from the next one's.
    leave: Callable[[Poller, Sequence[Unread]], None]
    # Judges ticks that are not captured: the status and the body that the REST endpoint would answer.
    validate: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]  # Any: JSON


class Session:
    """Serves one agent until its connection ends. Owns the thread's database connection; the lease is held already.

    Once the bridge stops it takes no more frames, compares the past a last time, and goes on answering questions.
    """

    def __init__(self, *, link: AgentLink, hello: Hello, target: Target, lease: leases.Held, means: Means):
        self._link = link
        self._hello = hello
        self._lease = lease
        self._means = means
        self._told_offset_ms = registering.told_offset_ms(hello, target.epochs)
        self._begin(target, utc_msc=hello.now_msc - self._told_offset_ms)
        self._condition = Condition()
        # What the agent said of an epoch that it has read, until that is left.
        self._leaving: epochend.Leaving | None = None
        self._has_waited = False
        self._facts = FactLog(target)
        self._log = ConnectionLog(source_id=target.source_id, name=target.name)
        if lease.silent_from_msc is not None:
            self._log.note_silence(from_msc=lease.silent_from_msc)
        now_s = self._doubted_s = clock.monotonic_s()
        self._settled_s = self._looked_s = now_s
        # How long it took to compare the tails.
        self._settling_s = 0.0

    def _begin(self, target: Target, *, utc_msc: int) -> None:
        """Make the poller of one epoch of the clock, and what looks at the past beside it."""
        offset_ms = target.offset_ms
        source = RemoteSource(self._link, self._hello, offset_ms=offset_ms, told_offset_ms=self._told_offset_ms)
        self._terminal = source.remote
        self._link.while_waiting = self._keep_lease
        self._poller = Poller(
            source=source,
            target=target,
            lease=self._lease,
            publish=self._means.publish,
            options=self._means.options,
            gate=self._means.gate(target.source_id, target.name),
            make_settler=partial(settling.RemoteSettler, remote=source.remote),
        )
        self._poller.utc_msc = utc_msc
        self._poller.now_msc = self._link.now_msc = utc_msc + offset_ms
        self._sieve = Sieve(self._poller)
        self._backfiller = Backfiller(self._poller)
        self._past = PastEpoch(self._poller) if target.place > 0 else None

    def _keep_lease(self) -> None:
        """Renew the lease where it is time to: an answer may take longer than it lasts."""
        poller, now_s = self._poller, clock.monotonic_s()
        if now_s - poller.renewed_s > self._lease.ttl_ms / 5000:
            leases.renew(self._lease)
            poller.renewed_s = now_s

    def _welcome(self) -> None:
        """Say where the agent goes on, and in which epoch of its clock."""
        poller = self._poller
        found: list[tuple[Cursor, ...]] = []

        def begin() -> None:
            if self._past is not None:
                self._past.begin()
            found.append(tuple(self._sieve.cursor(state) for state in poller.states))

        self._repeat(begin)
        epoch = None if self._hello.clock is None else registering.wire_epoch(poller.target)
        for cursors in found:
            self._link.send(Welcome(source=poller.target.name, cursors=cursors, epoch=epoch))

    def run(self) -> None:
        """Serve until the connection ends.

        :raises Closing: with the reason for which the connection has to end
        """
        try:
            self._refuse_other_clock()
            self._repeat(lambda: epochstart.ask_for_earlier(self._poller.target))
            self._welcome()
            rereads.forget_old(source_id=self._poller.target.source_id)
            while not self._link.is_ended:
                self._step()
        except LinkEnded:
            return
        except leases.LeaseLost as error:
            raise Closing(closing.HELD, f"{error}: another poller has taken the source over") from error
        except PermanentError as error:
            raise Closing(closing.BROKEN, str(error)) from error
        finally:
            # What the agent said last is heard too: that its terminal is on another account.
            self._note()
            self._log.write()
            metrics.SOURCE_CONNECTED.labels(self._poller.target.name).set(0)

    def _step(self) -> None:
        """Take one frame if there is one, and look after the past."""
        message = self._link.next(_IDLE_S)
        self._refuse_other_clock()
        self._poller.age_ms = None
        if isinstance(message, Frame):
            if self._leaving is not None:
                raise Malformed(
                    f"frame {message.number}: the epoch was said to be read, and the next has no welcome yet"
                )
            self._take(message)
        elif isinstance(message, Beat):
            self._repeat(lambda: self._hear(message.condition))
        elif isinstance(message, EpochRead):
            epochend.check(self._poller, message)
            self._leaving = epochend.Leaving(message, self._poller.settler.coverage.proven_msc, clock.monotonic_s())
        elif isinstance(message, Validate):
            self._link.send(self._validated(message))
        elif isinstance(message, Done):
            self._link.send(Settled(is_compared=self._settle()))
        elif self._link.is_stopping and not self._link.is_settled:
            self._settle()
            self._link.is_settled = True
        self._poller.now_msc = max(self._poller.now_msc, self._link.now_msc)
        self._note(
            is_behind=isinstance(message, Frame) and sum(len(part.ticks) for part in message.parts) >= _BUSY_TICKS
        )
        self._repeat(self._look_after)
        if self._leaving is not None:
            self._leave(self._leaving)

    def _validated(self, asked: Validate) -> Validated:
        answer = Validated(asked.number, *self._means.validate(asked.body))
        size = len(lines.write(answer))
        if size <= limits.MESSAGE_BYTES:
            return answer
        return Validated(asked.number, 413, {"detail": f"the answer has {size} bytes: ask for fewer ticks at once"})

    def _refuse_other_clock(self) -> None:
        """End the connection where its newest time is none: it decides which days are plausible."""
        utc_msc = self._link.now_msc - self._poller.target.offset_ms
        if not self._poller.source.is_replay and utc_msc > clock.now_msc() + _AHEAD_MS:
            raise Closing(
                closing.OTHER_SOURCE, f"the agent's time is {clock.iso(utc_msc)}, over a day ahead of this machine's"
            )

    def _note(self, *, is_behind: bool = False) -> None:
        """Note how the source is. Ticks tell the terminal's clock only where they are shown as they are made."""
        poller, health = self._poller, self._poller.source.health()
        failed = [state.error is not None for state in poller.states]
        is_whole = health.link is Link.CONNECTED and not self._is_doubted and not any(failed)
        age_ms = poller.age_ms if poller.source.is_in_real_time and is_whole and not is_behind else None
        self._log.note(health, is_ok=not any(failed), answers=not all(failed) or not failed, age_ms=age_ms)

    def _hear(self, condition: Condition) -> None:
        """Heed how the terminal is by now; what it missed may appear behind what frames bring from here on."""
        before, now_s = self._condition, clock.monotonic_s()
        if condition.doubted_msc is not None:
            self._poller.doubt(since_msc=condition.doubted_msc)
            self._doubted_s = now_s
        elif condition.link == Link.CONNECTED != before.link:
            self._poller.doubt(since_msc=self._poller.settler.coverage.sure_msc)
        self._condition = condition

    @property
    def _is_doubted(self) -> bool:
        """Return whether the terminal is fetching its history: a past that is not whole says nothing."""
        is_told = self._condition.doubted_msc is not None
        return is_told and clock.monotonic_s() - self._doubted_s < DOUBT_S

    def _note_sure(self) -> None:
        """Let passes cover the past up to when the terminal was last told to be connected, its history whole."""
        told_msc, condition = self._link.now_msc, self._condition
        if condition.link == Link.CONNECTED and condition.doubted_msc is None and not self._link.has_news:
            self._poller.settler.coverage.sure_msc = told_msc

    def _leave(self, leaving: epochend.Leaving) -> None:
        """Leave an epoch that is over and read, and welcome the agent in the next one.

        Nobody reads forward in an epoch that was left. So where the terminal may still be fetching its history the
        agent waits, and is welcomed in the same epoch once more; one that does not come to rest is left to a backfill.
        """
        poller, told = self._poller, leaving.told
        if self._may_grow and clock.monotonic_s() - leaving.since_s < 2 * DOUBT_S:
            self._has_waited = True
            return
        self._leaving, has_waited, self._has_waited = None, self._has_waited, False
        if has_waited and not self._may_grow:
            # What has appeared meanwhile, from the cursors on, only the agent reads.
            self._welcome()
            return
        poller.utc_msc = told.now_msc - poller.target.offset_ms
        if told.seen_msc is not None:
            for state in poller.states:
                poller.seen.note(state.feed_id, told.seen_msc - poller.target.offset_ms)
        self._settle()
        is_whole = not self._may_grow
        unread = list(epochend.unread(poller, told, covered_msc=leaving.covered_msc, is_whole=is_whole))
        self._repeat(lambda: self._means.leave(poller, unread))
        if self._link.is_ended:
            return
        self._begin(registering.at_place(poller.target, poller.target.place + 1), utc_msc=poller.utc_msc)
        if not is_whole:
            # The backfill has to wait as well until there is nothing more to be expected.
            self._repeat(self._poller.doubt)
        self._welcome()

    @property
    def _may_grow(self) -> bool:
        """Return whether the terminal may still show more of the past than it does."""
        is_connected = self._poller.source.health().link is Link.CONNECTED
        return not is_connected or self._is_doubted or self._poller.settler.coverage.is_doubted

    def _take(self, frame: Frame) -> None:
        answers: list[Answer] = []
        self._repeat(lambda: answers.append(taking.take(self._poller, frame, self._sieve, self._terminal)))
        for answer in answers:
            # Only now, after the inbox has committed.
            self._link.send(answer)

    def _look_after(self) -> int:
        poller, now_s = self._poller, clock.monotonic_s()
        poller.utc_msc = poller.now_msc - poller.target.offset_ms
        # Renews the lease where no frame has done so.
        poller.save([], now_msc=poller.now_msc)
        self._facts.note(poller.source.facts())
        self._note_sure()
        if self._link.is_held_up or self._is_doubted:
            return 0
        saved = self._settle_tails(now_s)
        if now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            answering.answer_waiting(poller, self._past, self._terminal)
        if not self._link.has_frames or self._link.is_stopping or poller.settler.is_overdue:
            saved += self._look_back()
            saved += poller.settler.step(poller.states, now_msc=poller.now_msc)
        return saved

    def _look_back(self) -> int:
        """Look at the end of the epoch before, and go one step on with a request to read history again.

        What these save moves the cursors' versions.
        """
        poller = self._poller
        saved = 0 if self._past is None else self._past.step()
        saved += self._backfiller.step()
        if poller.is_outdated:
            poller.load()
        return saved

    def _settle_tails(self, now_s: float) -> int:
        # In an hour that is shown twice a quiet symbol's tail may grow to all of it: comparing it leaves time to poll.
        waited_s = now_s - self._settled_s - min(_REST * self._settling_s, _OVERDUE_S)
        is_long = any(len(state.tail.rows) > _TAIL_TICKS for state in self._poller.states)
        if not is_long and (waited_s < _SETTLE_TAILS_S or (self._link.has_frames and waited_s < _OVERDUE_S)):
            return 0
        found = self._compare_tails()
        self._settled_s = clock.monotonic_s()
        self._settling_s = self._settled_s - now_s
        return found

    def _compare_tails(self) -> int:
        return settling.settle_tails(self._poller, self._terminal, self._sieve, now_msc=self._poller.now_msc)

    def _settle(self) -> bool:
        """Compare the tails and the past until nothing new is found; return whether they say anything by now."""

        if self._is_doubted:
            return False

        def settle() -> int:
            saved = self._compare_tails()
            if self._past is not None and self._past.is_watching:
                saved += self._past.run()
                if self._poller.is_outdated:
                    self._poller.load()
            return saved + self._poller.settler.run(self._poller.states, now_msc=self._poller.now_msc)

        self._repeat(settle)
        return not self._may_grow

    def _repeat(self, action: Callable[[], int | None]) -> None:
        self._means.repeat(self._poller, action, lambda: self._link.is_ended)
