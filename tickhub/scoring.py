"""Scores of a feed's hours, from the tick table, what batches record, and the examined hours."""

from collections.abc import Sequence

from quality import queries as quality_queries
from quality import scores
from quality.scores import Counts
from storage import reader
from tickhub import ledger
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import ZERO
from tickhub.ledger import FeedLedger
from tickhub.reference.models import Feed


def counts_of(feeds: Sequence[Feed], *, from_hour: int, to_hour: int) -> dict[int, dict[int, Counts]]:
    """Return by feed what :func:`_counts_of` tells of its UTC hours; what batches record is read once for a source."""
    period = {"from_msc": from_hour * HOUR_MS, "to_msc": to_hour * HOUR_MS}
    of_source = {source_id: ledger.of_source(source_id, **period) for source_id in {feed.source_id for feed in feeds}}
    return {
        feed.pk: _counts_of(
            feed, of_source[feed.source_id].get(feed.pk, FeedLedger()), from_hour=from_hour, to_hour=to_hour
        )
        for feed in feeds
    }


def _counts_of(feed: Feed, own: FeedLedger, *, from_hour: int, to_hour: int) -> dict[int, Counts]:
    """Return what is known of a feed's UTC hours (since 1970) ``[from_hour, to_hour)``, those of which nothing is left
    out."""
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
