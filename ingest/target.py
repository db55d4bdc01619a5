"""What a poller polls, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tickhub.core.batch import Repeated
from tickhub.core.ticks import BATCH_TICKS_MAX
from tickhub.core.zones import Epoch, Epochs


@dataclass(frozen=True, slots=True)
class Options:
    """How to poll: page in ticks, times in milliseconds."""

    interval_ms: int = 50
    page_ticks: int = BATCH_TICKS_MAX
    publish_again_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class Target:
    """The source as the database knows it, during one epoch of its clock.

    ``feeds`` holds its feeds' ids and begins (UTC) by symbol, the same dictionary for all epochs, ``place`` the epoch's
    place among ``epochs``. ``unsure`` holds, by feed, the stretch of wall clock of a repeated hour whose first pass was
    not captured, where there is one.
    """

    source_id: int
    name: str
    epochs: Epochs
    place: int
    feeds: dict[str, tuple[int, int]]
    unsure: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def epoch(self) -> Epoch:
        """Return the epoch."""
        return self.epochs.rows[self.place]

    @property
    def epoch_id(self) -> int:
        """Return the epoch's id."""
        return self.epoch.epoch_id

    @property
    def offset_ms(self) -> int:
        """Return terminal clock minus UTC."""
        return self.epoch.offset_ms

    def begins_msc(self, symbol: str) -> int:
        """Return where capture of a feed begins in this epoch, in the terminal's clock."""
        return max(self.feeds[symbol][1], self.epoch.starts_msc) + self.offset_ms

    def begin_earlier(self, *, feed_id: int, begins_msc: int) -> None:
        """Move a feed's begin back, in the targets of all epochs: what lies behind it has been captured."""
        for symbol, known in self.feeds.items():
            if known[0] == feed_id:
                self.feeds[symbol] = (feed_id, begins_msc)

    @property
    def skipped(self) -> tuple[int, int] | None:
        """Return the stretch of wall clock ``[from, to)`` that the switch to the next epoch leaves out, if any."""
        skipped_ms = self.epochs.skipped_ms(self.place)
        ends_msc = self.epoch.ends_msc + self.offset_ms
        return (ends_msc, ends_msc + skipped_ms) if skipped_ms else None

    def repeated(self, feed_id: int) -> Repeated | None:
        """Return what tells the judging which rows of a feed may be of either pass of a repeated hour."""
        zone = self.epochs.repeated(self.place)
        return None if zone is None else Repeated(*zone, *self.unsure.get(feed_id, (zone[0], zone[0])))
