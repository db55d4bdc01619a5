"""Says what of an epoch of the clock an agent has left unread, as :mod:`ingest.epochend` does for pollers."""

from collections.abc import Iterator
from dataclasses import dataclass

from ingest.epochend import Unread
from ingest.poller import Poller
from ingest.wire import closing
from ingest.wire.closing import Closing, Malformed
from ingest.wire.messages import EpochRead
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS

# An agent's clock may be so much ahead of this machine's when it leaves an epoch.
_AHEAD_MS = 60_000


@dataclass(frozen=True, slots=True)
class Leaving:
    """What an agent said of an epoch that it has read, up to when the past was proven then (the terminal's clock), and
    since when that is known (monotonic)."""

    told: EpochRead
    covered_msc: int | None
    since_s: float


def check(poller: Poller, told: EpochRead) -> None:
    """Check that an epoch that was read is over.

    :raises Malformed: if it is not, or has no end
    :raises Closing: if it is not by this machine's clock: there is no way back from the next epoch
    """
    target = poller.target
    utc_msc = told.now_msc - target.offset_ms
    if target.place + 1 == len(target.epochs.rows) or utc_msc < target.epoch.ends_msc:
        raise Malformed(f"epoch_read: the epoch is not over at {clock.iso(utc_msc)}")
    if told.seen_msc is not None and told.seen_msc - target.offset_ms >= target.epoch.ends_msc:
        raise Malformed(f"epoch_read: seen_msc {told.seen_msc} is not before the epoch's end")
    if any(index >= len(poller.states) for index, _ in told.unread):
        raise Malformed("epoch_read: a symbol's index is unknown")
    if not poller.source.is_replay and clock.now_msc() < target.epoch.ends_msc - _AHEAD_MS:
        ends = clock.iso(target.epoch.ends_msc)
        raise Closing(closing.TRY_LATER, f"epoch_read: by this machine's clock the epoch ends only at {ends}")


def unread(poller: Poller, told: EpochRead, *, covered_msc: int | None, is_whole: bool) -> Iterator[Unread]:
    """Yield what has to be read again, after the last pass over the epoch's past; ``is_whole``: of a whole history.

    ``covered_msc`` is up to when the past was proven before that pass.
    """
    told_of = dict(told.unread)
    for index, state in enumerate(poller.states):
        reason = "" if poller.settler.is_clean and is_whole else "the last pass over it was broken off"
        reason = told_of.get(index, reason)
        if state.error is not None:
            reason = "terminal error {} {}".format(*state.error)
        if not reason:
            continue
        from_msc = state.last_msc if covered_msc is None else min(covered_msc, state.last_msc)
        from_msc = max(from_msc - HOUR_MS, state.begins_msc) - poller.target.offset_ms
        # A feed that begins in a later epoch has nothing in this one.
        if from_msc < poller.target.epoch.ends_msc:
            yield Unread(state.feed_id, state.symbol, from_msc, poller.target.epoch.ends_msc, reason)
