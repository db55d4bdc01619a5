"""Says when an agent has read an epoch of its terminal's clock to its end, as ingest/epochend.py does for pollers."""

from ingest.agent.forward import Reader
from ingest.agent.watch import Watch
from ingest.sources.terminal import Link, OpenSource
from ingest.wire.messages import EpochRead, WireEpoch
from tickhub.core import clock

# How long single symbols that cannot be read are waited for, while the others can be.
_WAITS_S = 60.0


class EpochEnd:
    """Looks at the reader of one epoch after each of its polls."""

    def __init__(self, epoch: WireEpoch, reader: Reader, watch: Watch, source: OpenSource) -> None:
        self._epoch = epoch
        self._reader = reader
        self._watch = watch
        self._source = source
        # Since when the terminal has shown all but single symbols, of the monotonic clock.
        self._shows_s: float | None = None
        self._is_doubted = False
        self._seen_msc: int | None = None

    def is_over(self, now_msc: int) -> bool:
        """Return whether the clock has been switched, at a time of the epoch's clock."""
        return self._epoch.ends_msc is not None and now_msc >= self._epoch.ends_msc

    def note_poll(self, now_msc: int) -> None:
        """Note a poll of all symbols: one before the end that left nothing unsent has seen all that was shown."""
        is_whole = not self._reader.has_errors and not self._watch.synchroniser.is_waiting
        if is_whole and not self._reader.is_behind and self._is_connected and not self.is_over(now_msc):
            self._seen_msc = now_msc

    def look(self, now_msc: int, *, is_idle: bool) -> EpochRead | None:
        """Return what to say if the epoch is over and read; ``is_idle``: the poll brought nothing, all is answered."""
        if not self.is_over(now_msc) or not self._is_connected:
            self._shows_s, self._is_doubted = None, False
            return None
        if self._watch.synchroniser.is_waiting or self._watch.is_recent:
            # What is fetched may appear in any order, for two minutes; the next epoch looks back for an hour only.
            self._shows_s = None
            return None
        now_s = clock.monotonic_s()
        self._shows_s = now_s if self._shows_s is None else self._shows_s
        if not is_idle:
            return None
        if self._source.connections and not self._is_doubted:
            # That there is nothing more must not be a history that is still being fetched.
            self._doubt()
            return None
        if self._reader.has_errors and now_s - self._shows_s <= _WAITS_S:
            return None
        return EpochRead(now_msc, self._seen_msc, tuple(self._unread()))

    def _doubt(self) -> None:
        """Let the history agree once more; where it did not before, all that the terminal fetched since."""
        since_msc = self._watch.doubted_msc if self._watch.synchroniser.unagreed else None
        if since_msc is None:
            self._watch.synchroniser.doubt()
        else:
            self._watch.synchroniser.doubt(from_msc=since_msc + self._epoch.offset_ms)
            self._watch.doubt(since_msc)
        self._is_doubted = True

    @property
    def _is_connected(self) -> bool:
        """Return whether the broker is reached and at least one symbol can be read."""
        is_read = any(feed.told_error is None for feed in self._reader.feeds)
        return is_read and self._source.health().link is Link.CONNECTED

    def _unread(self) -> list[tuple[int, str]]:
        unagreed = self._watch.synchroniser.unagreed
        return [(feed.index, "its history was not whole") for feed in self._reader.feeds if feed.symbol in unagreed]
