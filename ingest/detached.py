"""A poller's second self that captures the past: in any epoch of the clock, its cursors stay where they are."""

from dataclasses import replace

from ingest import cursors, queries
from ingest.feedstate import FeedState
from ingest.poller import Poller
from ingest.tail import CONTEXT_TICKS, Tail
from tickhub.core import clock
from tickhub.core import ticks as tick_arrays


def poller(current: Poller, place: int) -> Poller:
    """Return a poller for the epoch at a place, under the lease of the current one; :func:`load` comes before use."""
    unsure = current.target.unsure if place == current.target.place else None
    return Poller(
        source=current.source,
        target=replace(current.target, place=place, unsure=unsure),
        lease=current.lease,
        publish=current.publish,
        options=current.options,
    )


def load(past: Poller, current: Poller) -> None:
    """Make a detached poller ready for reading what lies behind the present: cursors and contexts as they are.

    It may read up to the end of its epoch; in the current one up to where the tails begin.
    """
    target = past.target
    past.utc_msc = current.utc_msc
    past.seen_msc = current.seen_msc
    past.renewed_s = clock.monotonic_s()
    positions = cursors.load(source_id=target.source_id)
    ends_msc = target.epoch.ends_msc + target.offset_ms + target.epochs.skipped_ms(target.place)
    tails = {state.feed_id: state.tail.complete_from_msc for state in current.states}
    past.states = []
    for symbol in past.source.symbols:
        feed_id, _ = target.feeds[symbol]
        position = positions.get(feed_id)
        context = tick_arrays.empty()
        if position is not None:
            context = queries.context_of(feed_id=feed_id, batch_id=position.last_batch_id, size=CONTEXT_TICKS)
        end_msc = tails.get(feed_id, ends_msc) if target.place == current.target.place else ends_msc
        tail = Tail(captured=tick_arrays.empty(), context=context, complete_from_msc=end_msc)
        past.states.append(FeedState(feed_id, symbol, target.begins_msc(symbol), position, tail))


def take_over(current: Poller, found: int) -> None:
    """Tell the current poller what was captured beside it: the versions of its cursors have moved."""
    if found:
        current.captured += found
        current.is_outdated = True
