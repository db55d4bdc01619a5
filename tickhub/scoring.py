"""Scores of a feed's hours, from the tick table, what batches record, and the examined hours."""

from collections.abc import Iterable

from quality import queries as quality_queries
from quality import scores
from quality.scores import Counts
from storage import reader
from tickhub import ledger
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import ZERO
from tickhub.ledger import FeedLedger
from tickhub.reference.models import Feed


def counts(feeds: Iterable[Feed], *, from_hour: int, to_hour: int) -> dict[int, dict[int, Counts]]:
    """Return what is known of the UTC hours (since 1970) ``[from_hour, to_hour)`` of feeds, by feed id and hour.

    Hours of which nothing is known are left out.
    """
    sources: dict[int, dict[int, FeedLedger]] = {}
    found = {}
    for feed in feeds:
        # What batches say is read once for each source, whose batches hold all its feeds.
        if feed.source_id not in sources:
            sources[feed.source_id] = ledger.of_source(
                feed.source_id,
                from_msc=from_hour * HOUR_MS,
                to_msc=to_hour * HOUR_MS,
                stations=("held", "duplicates"),
            )
        own = sources[feed.source_id].get(feed.pk, FeedLedger())
        found[feed.pk] = _counts_of(feed, own, from_hour, to_hour)
    return found


def _counts_of(feed: Feed, own: FeedLedger, from_hour: int, to_hour: int) -> dict[int, Counts]:
    from_msc, to_msc = from_hour * HOUR_MS, to_hour * HOUR_MS
    masks = [int(scores.INVALID), int(scores.UNTIMELY), int(scores.COLLIDED)]
    stored = reader.flagged_by_hour(feed_id=feed.pk, from_msc=from_msc, to_msc=to_msc, masks=masks)
    examined = {
        row.hour: row for row in quality_queries.examined(feed_id=feed.pk, from_hour=from_hour, to_hour=to_hour)
    }
    hours = {hour for hour in (own.held.keys() | own.duplicates.keys()) if from_hour <= hour < to_hour}
    compared = quality_queries.compared(feed_id=feed.pk, from_hour=from_hour, to_hour=to_hour)
    found = {}
    for hour in sorted(hours | stored.keys() | examined.keys()):
        count, (invalid, untimely, collided) = stored.get(hour, (0, [0, 0, 0]))
        time = examined.get(hour)
        found[hour] = Counts(
            stored=count,
            invalid=invalid,
            untimely=untimely,
            collided=collided,
            held=own.held.get(hour, ZERO).count,
            duplicates=own.duplicates.get(hour, ZERO).count,
            session_ms=None if time is None else time.session_ms,
            missing_ms=0 if time is None else time.missing_ms,
            compared_s=compared.get(hour, (0, 0))[0],
            disagreeing_s=compared.get(hour, (0, 0))[1],
        )
    return found
