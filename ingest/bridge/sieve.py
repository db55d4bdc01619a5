"""Takes out of an agent's frames the rows that are not of the epoch under way.

Where a clock is set back, a terminal shows an hour of both epochs mixed, and the agent sends what is shown. So the
cursors that travel count by position among all rows shown; those of the inbox count the epoch's own. Where the
terminal's rows need no sifting both are the same.

A cursor that travels passes over rows of the first pass up to the time of the poll. What of the second pass is shown
only then, a little late, lies before it and is not sent: it has to be asked for (:mod:`ingest.bridge.settling`).
"""

from dataclasses import replace

from ingest import feedstate
from ingest.epochview import EpochView
from ingest.feedstate import FeedState
from ingest.poller import Poller
from ingest.wire import cursors
from ingest.wire.messages import Cursor, FramePart


class Sieve:
    """Sifts the frames of one poller's agent, and keeps the cursors that travel."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        # By feed: the inbox's cursor, and the one that travels while that stands.
        self._travelling: dict[int, tuple[Cursor, Cursor]] = {}

    def cursor(self, state: FeedState) -> Cursor:
        """Return where the agent goes on with a feed."""
        own = feedstate.before(state)
        view = self._poller.terminal
        if not isinstance(view, EpochView):
            return own
        known, travelling = self._travelling.get(state.feed_id, (None, own))
        if known == own and own[0] <= travelling[0]:
            return travelling
        # Rows of a millisecond that were shown earlier stand before those that came later.
        hidden = view.hidden(state.symbol, own[0], own[0] + 1)
        return own[0], own[1] + (0 if hidden is None else len(hidden))

    def is_ahead(self, state: FeedState) -> bool:
        """Return whether the agent has gone beyond the inbox's cursor: what is shown between both is not sent."""
        return self.cursor(state)[0] > state.last_msc

    def brings_own(self, state: FeedState, part: FramePart) -> bool:
        """Return whether a part holds a row of the epoch."""
        view = self._poller.terminal
        return isinstance(view, EpochView) and len(view.shown(state.symbol, part.ticks)) > 0

    def hold(self, state: FeedState, travelling: Cursor) -> None:
        """Let the agent go on where it stands though the inbox's cursor was moved by something else than a frame."""
        if isinstance(self._poller.terminal, EpochView):
            self._travelling[state.feed_id] = (feedstate.before(state), travelling)

    def admit(self, state: FeedState, part: FramePart) -> FramePart:
        """Return a part as if it held the epoch's rows alone, from the inbox's cursor on."""
        view = self._poller.terminal
        if not isinstance(view, EpochView) or part.error:
            return part
        return replace(part, cursor=feedstate.before(state), ticks=view.shown(state.symbol, part.ticks))

    def follow(self, state: FeedState, part: FramePart, *, now_msc: int) -> None:
        """Move the cursor that travels behind a part that was taken, as the agent did when it had sent it."""
        if isinstance(self._poller.terminal, EpochView) and not part.error:
            after = cursors.after(part.cursor, part.ticks, now_msc)
            self._travelling[state.feed_id] = (feedstate.before(state), after)
