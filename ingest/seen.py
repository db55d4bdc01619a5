"""Up to when an epoch of the clock has been read, by feed, as far as the reads themselves prove it."""


class Seen:
    """Times are UTC, and never go back."""

    def __init__(self) -> None:
        self._by_feed: dict[int, int] = {}
        # What a terminal shows was made up to then at least, whatever its time says: a clock may have been set back.
        self.least_msc = 0

    def of(self, feed_id: int) -> int:
        """Return up to when a feed has been read whole; 0 if it never was."""
        return self._by_feed.get(feed_id, 0)

    def note(self, feed_id: int, utc_msc: int) -> None:
        """Know a feed as read up to a time."""
        self._by_feed[feed_id] = max(self.of(feed_id), utc_msc)

    def note_made(self, utc_msc: int) -> None:
        """Know that something was made at a time."""
        self.least_msc = max(self.least_msc, utc_msc)

    def copy(self) -> "Seen":
        """Return the same, to go on apart."""
        made = Seen()
        made._by_feed, made.least_msc = self._by_feed.copy(), self.least_msc
        return made
