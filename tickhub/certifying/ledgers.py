"""What a source's batches record of single hours of a feed."""

from tickhub import ledger
from tickhub.core.clock import HOUR_MS
from tickhub.ledger import FeedLedger
from tickhub.reference.models import Feed

_STATIONS = FeedLedger.__slots__


def of_hours(feed: Feed, hours: set[int]) -> FeedLedger:
    """Return what batches record of a feed in some UTC hours (since 1970), and of no other hour."""
    known = FeedLedger()
    for first, last in _runs(sorted(hours)):
        found = ledger.of_source(feed.source_id, from_msc=first * HOUR_MS, to_msc=(last + 1) * HOUR_MS)
        own = found.get(feed.pk, FeedLedger())
        for name in _STATIONS:
            # The batches of a period reach beyond it, and the hours beside it are not complete.
            getattr(known, name).update({h: d for h, d in getattr(own, name).items() if first <= h <= last})
    return known


def _runs(hours: list[int]) -> list[tuple[int, int]]:
    """Return first and last of each run of hours that follow one another."""
    found: list[tuple[int, int]] = []
    for hour in hours:
        if found and found[-1][1] == hour - 1:
            found[-1] = (found[-1][0], hour)
        else:
            found.append((hour, hour))
    return found
