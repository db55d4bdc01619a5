"""Compares the feeds of one instrument hour by hour, once both are examined; tells of those that disagree."""

from django.db import transaction

from quality import agreement, hours, incidents
from quality import queries as quality_queries
from quality.agreement import Prices
from quality.models import FeedAgreement, Incident
from storage import reader
from tickhub import judging
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed, Instrument

_AT_ONCE = 20
# Of fewer seconds nothing is told, and of a smaller share: brokers part for a moment around news.
_LEAST_S, _SHARE_MOST = 30, 0.01


def compare(*, until_s: float) -> int:
    """Compare the pairs of hours that are not compared yet, the newest first; return how many.

    ``until_s`` (of the monotonic clock) is when to leave the rest to the next run.
    """
    done = 0
    while clock.monotonic_s() < until_s:
        due = quality_queries.not_compared(limit=_AT_ONCE)
        if not due:
            break
        feeds = {feed.pk: feed for feed in reference.feeds() if feed.pk in {pk for pair in due for pk in pair[:2]}}
        for feed_id, other_id, hour in due:
            _compare(feeds[feed_id], feeds[other_id], hour)
            done += 1
            if clock.monotonic_s() >= until_s:
                break
    return done


def _compare(feed: Feed, other: Feed, hour: int) -> None:
    thresholds = judging.thresholds_of(instrument_id=feed.instrument_id)
    factor, floor_points = thresholds.disagree_factor, thresholds.disagree_floor_points
    is_judged = factor is not None and floor_points is not None
    with transaction.atomic(durable=True):
        # An examination of the hour waits for this, or this for it: no comparison of older ticks is left behind it.
        hours.lock(feed_ids=[feed.pk, other.pk], hour=hour)
        found = agreement.compare(
            _prices(feed, hour), _prices(other, hour), factor=factor or 0, floor_points=floor_points or 0
        )
        hours.record_agreement(feed_id=feed.pk, other_id=other.pk, hour=hour, agreement=found, is_judged=is_judged)
    _tell(feed, other)


def _prices(feed: Feed, hour: int) -> Prices:
    stored = reader.read(feed_id=feed.pk, from_msc=hour * HOUR_MS, to_msc=(hour + 1) * HOUR_MS)
    instrument = feed.instrument
    is_quoted = instrument.price_basis == Instrument.PriceBasis.QUOTE
    return agreement.prices(stored.ticks, digits=instrument.digits, is_quoted=is_quoted)


def _tell(feed: Feed, other: Feed) -> None:
    """Keep the incident of two feeds by their newest hour; it is the feed's whose source is preferred less."""
    newest = quality_queries.newest_agreement(feed_id=feed.pk, other_id=other.pk)
    if newest is None:
        return
    preferred, second = sorted((feed, other), key=lambda one: (one.source.priority, one.source_id, one.pk))
    incidents.observe(
        cause="DISAGREES",
        source_id=second.source_id,
        feed_id=second.pk,
        holds=_disagree(newest),
        severity=Incident.Severity.WARNING,
        evidence={
            "symbol": second.symbol,
            "name": preferred.source.name,
            "hour": clock.iso(newest.hour * HOUR_MS),
            "compared_s": newest.compared_s,
            "disagreeing_s": newest.disagreeing_s,
            "worst_points": newest.worst_points,
            "band_points": newest.band_points,
            "first": {"time_msc": newest.first_msc, "seq": 0},
            "message": "look at both feeds' ticks from the first second on; one of them is late, or prices another "
            "instrument",
        },
    )


def _disagree(row: FeedAgreement) -> bool:
    is_enough = row.band_points is not None and row.compared_s >= _LEAST_S
    return is_enough and row.disagreeing_s > _SHARE_MOST * row.compared_s
