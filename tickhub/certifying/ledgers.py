"""What a source's batches record of single hours, read once for all of its feeds."""

from tickhub import ledger
from tickhub.core.clock import HOUR_MS
from tickhub.ledger import FeedLedger

_STATIONS = FeedLedger.__slots__


class Ledgers:
    """Adds a source's batches up within one transaction, each hour (since 1970) once, whichever feed asks first."""

    def __init__(self, source_id: int) -> None:
        self._source_id = source_id
        self._whole: dict[int, FeedLedger] | None = None
        self._read: set[int] = set()
        self._by_feed: dict[int, FeedLedger] = {}

    def whole(self, feed_id: int) -> FeedLedger:
        """Return what batches record of a feed at any time."""
        if self._whole is None:
            self._whole = ledger.of_source(self._source_id)
        return self._whole.get(feed_id, FeedLedger())

    def of_hours(self, feed_id: int, hours: set[int]) -> FeedLedger:
        """Return what batches record of a feed in some hours at least."""
        for first, last in _runs(sorted(hours - self._read)):
            found = ledger.of_source(self._source_id, from_msc=first * HOUR_MS, to_msc=(last + 1) * HOUR_MS)
            for found_id, own in found.items():
                self._add(found_id, own, first, last)
        self._read |= hours
        return self._by_feed.get(feed_id, FeedLedger())

    def _add(self, feed_id: int, own: FeedLedger, first: int, last: int) -> None:
        known = self._by_feed.setdefault(feed_id, FeedLedger())
        for name in _STATIONS:
            # The batches of a period reach beyond it, and the hours beside it are not complete.
            getattr(known, name).update({h: d for h, d in getattr(own, name).items() if first <= h <= last})


def _runs(hours: list[int]) -> list[tuple[int, int]]:
    """Return first and last of each run of hours that follow one another."""
    found: list[tuple[int, int]] = []
    for hour in hours:
        if found and found[-1][1] == hour - 1:
            found[-1] = (found[-1][0], hour)
        else:
            found.append((hour, hour))
    return found
