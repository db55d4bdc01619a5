"""Scores of a feed's hours, from the tick table, what batches record, and the examined hours."""

from quality import queries as quality_queries
from quality import scores
from quality.scores import Counts
from storage import reader
from tickhub import ledger
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import ZERO
from tickhub.ledger import FeedLedger
from tickhub.reference.models import Feed


def counts_of(feed: Feed, *, from_hour: int, to_hour: int) -> dict[int, Counts]:
    """Return what is known of a feed's UTC hours (since 1970) ``[from_hour, to_hour)``, those of which nothing is left
    out."""
    from_msc, to_msc = from_hour * HOUR_MS, to_hour * HOUR_MS
    masks = [int(scores.INVALID), int(scores.UNTIMELY), int(scores.COLLIDED)]
    stored = reader.flagged_by_hour(feed_id=feed.pk, from_msc=from_msc, to_msc=to_msc, masks=masks)
    own = ledger.of_source(feed.source_id, from_msc=from_msc, to_msc=to_msc).get(feed.pk, FeedLedger())
    examined = {
        row.hour: row for row in quality_queries.examined(feed_id=feed.pk, from_hour=from_hour, to_hour=to_hour)
    }
    hours = {hour for hour in (own.held.keys() | own.duplicates.keys()) if from_hour <= hour < to_hour}
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
        )
    return found
