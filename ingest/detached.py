"""A poller's second self that captures the past, in any epoch of the clock, beside the poller whose cursors these are.

It moves no cursor, so neither has to wait for the other: what it saves lies behind them.
"""

from dataclasses import replace

from ingest.feedstate import FeedState
from ingest.poller import Poller
from ingest.tail import Tail
from ingest.target import Target
from tickhub.core import ticks as tick_arrays


def poller(current: Poller, place: int) -> Poller:
    """Return a poller for the epoch at a place, under the lease of the current one; :func:`load` comes before use."""
    unsure = current.target.unsure if place == current.target.place else {}
    return Poller(
        source=current.source,
        target=replace(current.target, place=place, unsure=unsure),
        lease=current.lease,
        publish=current.publish,
        options=current.options,
        gate=current.gate,
        beside=current.target,
        make_settler=current.make_settler,
    )


def load(past: Poller, current: Poller) -> None:
    """Make a detached poller ready for reading what lies behind the present."""
    past.states = [
        FeedState(
            state.feed_id,
            state.symbol,
            past.target.begins_msc(state.symbol),
            state.position,
            Tail(
                captured=tick_arrays.empty(),
                context=state.tail.context,
                complete_from_msc=_end_msc(past, state),
            ),
        )
        for state in current.states
    ]
    refresh(past, current)


def refresh(past: Poller, current: Poller) -> None:
    """Let a detached poller know what has become of the present since; comes before each of its steps.

    It may read up to the end of its epoch; in the current one up to where the tails begin.
    """
    past.utc_msc = current.utc_msc
    past.seen = current.seen.copy()
    past.seen.note_made(left_msc(current, past.target))
    past.renewed_s = current.renewed_s
    # What was captured of a repeated hour's first pass since is no longer shown as of the second.
    past.renew_view()
    now = {state.feed_id: state for state in current.states}
    for state in past.states:
        present = now[state.feed_id]
        state.position, state.error = present.position, present.error
        state.tail.context = present.tail.context
        state.tail.complete_from_msc = _end_msc(past, present)


def left_msc(current: Poller, target: Target) -> int:
    """Return up to when (UTC) a terminal shows what it does at least, to what reads another epoch beside a poller.

    The clock that tells the time may have been set back since the epoch was left; that cannot bring it back.
    """
    return max(current.shown_msc, target.epoch.ends_msc if target.place < current.target.place else 0)


def _end_msc(past: Poller, present: FeedState) -> int:
    target = past.target
    if past.beside is not None and target.place == past.beside.place:
        return present.tail.complete_from_msc
    return target.epoch.ends_msc + target.offset_ms + target.epochs.skipped_ms(target.place)


def take_over(past: Poller, current: Poller, found: int) -> None:
    """Tell the current poller what was captured beside it."""
    if not found:
        return
    current.captured += found
    current.renew_view()
    # Feeds that had no cursor have got theirs.
    made = {state.feed_id for state in past.states if state.position is not None}
    current.is_outdated |= any(state.position is None and state.feed_id in made for state in current.states)
