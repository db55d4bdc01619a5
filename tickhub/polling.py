"""Polls during one epoch of a source's clock, and looks at the past beside it, until the epoch or capture ends."""

from collections.abc import Callable
from dataclasses import dataclass

from ingest.backfill import Backfiller
from ingest.connections import ConnectionLog
from ingest.epochend import EpochEnd, Unread
from ingest.pastepoch import PastEpoch
from ingest.poller import Poller
from ingest.symbolfacts import FactLog
from tickhub.core import clock
from tickhub.repeating import repeat

# How long the last settling pass is tried again after being told to stop.
_SETTLE_S = 10.0
# A poll that brought so many ticks is behind: the next one follows at once.
_BUSY_TICKS = 8_192


@dataclass(frozen=True, slots=True)
class Ending:
    """When a poller ends by itself: when its recording is played, or so many seconds after its first poll."""

    until_drained: bool = False
    for_s: float | None = None
    # When capture began, of the monotonic clock.
    started_s: float = 0.0


def capture_epoch(
    poller: Poller, ending: Ending, should_stop: Callable[[], bool], log: ConnectionLog
) -> list[Unread] | None:
    """Capture until the epoch of the terminal's clock is over; return what of it is unread, None where capture ends."""
    past = PastEpoch(poller) if poller.target.place > 0 else None
    backfiller = Backfiller(poller)
    repeat(poller, lambda: past.begin() if past is not None else None, should_stop)
    end = EpochEnd(poller)
    is_over = _loop(poller, past, backfiller, end, ending, should_stop, log)
    # Told to stop or not, what the terminal shows by now is captured before the poller ends. That it may still find
    # something of the epoch, or fail to read, does not make the epoch go on.
    repeat(poller, lambda: _finish(poller, past), _out_of_patience(should_stop))
    return end.unread() if is_over and not should_stop() else None


def _loop(
    poller: Poller,
    past: PastEpoch | None,
    backfiller: Backfiller,
    end: EpochEnd,
    ending: Ending,
    should_stop: Callable[[], bool],
    log: ConnectionLog,
) -> bool:
    """Poll until the epoch is over (True), or capture ends."""
    interval_s = poller.options.interval_ms / 1000
    facts = FactLog(poller.target)
    is_doubted = False
    while not should_stop():
        begun_s = clock.monotonic_s()
        saved = repeat(poller, lambda: step(poller, past, backfiller), should_stop)
        note(poller, log, age_ms=None if saved >= _BUSY_TICKS else poller.age_ms)
        facts.note(poller.source.facts())
        if end.is_reached():
            return True
        if ending.for_s is not None and clock.monotonic_s() - ending.started_s >= ending.for_s:
            return False
        is_drained = saved == 0 and ending.until_drained and poller.source.is_exhausted() and poller.sees_all
        if is_drained and not backfiller.has_work():
            if is_doubted:
                return False
            # Nobody polls after the end: that there is nothing new must not be a history that is being fetched.
            poller.synchroniser.doubt()
            is_doubted = True
        if saved < _BUSY_TICKS:
            clock.sleep(interval_s - (clock.monotonic_s() - begun_s))
    return False


def note(poller: Poller, log: ConnectionLog, *, age_ms: int | None = None) -> None:
    """Note a poll. Ticks tell the terminal's clock only where they are shown as they are made, and none is behind."""
    has_failed = [state.error is not None for state in poller.states]
    if not poller.source.is_in_real_time or not poller.sees_all:
        age_ms = None
    log.note(poller.source.health(), is_ok=not any(has_failed), answers=not all(has_failed), age_ms=age_ms)


def step(poller: Poller, past: PastEpoch | None, backfiller: Backfiller) -> int:
    """Poll once and, unless the poller is behind with the present, go one step on with what looks at the past."""
    if poller.is_outdated:
        poller.load()
    saved = poller.poll()
    if poller.synchroniser.is_waiting:
        return saved
    if past is not None:
        saved += past.step()
    if saved >= _BUSY_TICKS and not poller.settler.is_overdue:
        return saved
    saved += backfiller.step()
    return saved if poller.is_outdated else saved + poller.settler.step(poller.states, now_msc=poller.now_msc)


def _finish(poller: Poller, past: PastEpoch | None) -> int:
    saved = poller.poll()
    if poller.synchroniser.is_waiting:
        # A past that is not whole says nothing; the next poller passes over it.
        return saved
    if past is not None and past.is_watching:
        saved += past.run()
        if poller.is_outdated:
            poller.load()
    return saved + poller.settler.run(poller.states, now_msc=poller.now_msc)


def _out_of_patience(should_stop: Callable[[], bool]) -> Callable[[], bool]:
    """Return what says when to give up settling: some time after being told to stop, as the database may be gone."""
    told_s: list[float] = []

    def is_over() -> bool:
        if not told_s and should_stop():
            told_s.append(clock.monotonic_s())
        return bool(told_s) and clock.monotonic_s() - told_s[0] > _SETTLE_S

    return is_over
