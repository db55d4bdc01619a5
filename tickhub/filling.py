"""Has what is missing asked for again, and tells of sessions with too little."""

import datetime as dt
import logging
from itertools import groupby

from ingest import backfill
from quality import completeness, incidents, missing
from quality import queries as quality_queries
from quality.gaps import Kind
from quality.models import Gap, Incident
from tickhub.core import clock
from tickhub.core.clock import MINUTE_MS
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed, Source

logger = logging.getLogger(__name__)

# The silence began before it was too long, perhaps in the hour before.
_MARGIN_MS = 5 * MINUTE_MS
# How long a request that failed is left alone.
_AGAIN = dt.timedelta(days=1)
# How far back sessions are watched.
_WATCHED_HOURS = 7 * 24


def fill() -> None:
    """Go through what is missing of every source."""
    for source in reference.sources():
        if not source.is_replay:
            _ask(source)
            for feed in reference.feeds(source=source.name):
                _tell(feed)


def _ask(source: Source) -> None:
    """Request, once, what was not connected or stalled: neighbours of one feed together. What failed, daily again."""
    kinds = (Kind.DISCONNECTED.value, Kind.STALLED.value)
    gaps = [gap for gap in quality_queries.open_gaps(source_id=source.pk) if gap.kind in kinds]
    failed = backfill.failed_before(
        request_ids={gap.backfill_id for gap in gaps if gap.backfill_id is not None}, before=clock.now() - _AGAIN
    )
    gaps = [gap for gap in gaps if gap.backfill_id is None or gap.backfill_id in failed]
    for run in _runs(gaps):
        request_id = backfill.request(
            feed_id=run[0].feed_id,
            from_msc=run[0].from_msc - _MARGIN_MS,
            to_msc=run[-1].to_msc,
            reason=f"gap: {run[0].cause}"[:200],
        )
        missing.ask(gap_ids=[gap.pk for gap in run], backfill_id=request_id)
        logger.info("gap asked for again", extra={"feed": run[0].feed_id, "request": request_id, "gaps": len(run)})


def _runs(gaps: list[Gap]) -> list[list[Gap]]:
    """Group gaps, ascending by feed, that follow one another without a tick between."""
    runs: list[list[Gap]] = []
    for _, own in groupby(gaps, key=lambda gap: gap.feed_id):
        last: Gap | None = None
        for gap in own:
            if last is not None and last.to_msc == gap.from_msc:
                runs[-1].append(gap)
            else:
                runs.append([gap])
            last = gap
    return runs


def _tell(feed: Feed) -> None:
    """Keep the incident of a feed of whose session, in the last seven days, more than 5 % is missing."""
    next_hour = quality_queries.next_hour(source_id=feed.source_id)
    if next_hour is None:
        return
    calendar = reference.calendar_of(feed)
    hours = quality_queries.examined(feed_id=feed.pk, from_hour=next_hour - _WATCHED_HOURS, to_hour=next_hour)
    bad = [share for share in completeness.by_session(hours, calendar) if completeness.is_incomplete(share, calendar)]
    worst = max(bad, key=lambda share: share.missing_ms, default=None)
    incidents.observe(
        cause="INCOMPLETE",
        source_id=feed.source_id,
        feed_id=feed.pk,
        holds=worst is not None,
        severity=Incident.Severity.WARNING,
        evidence={}
        if worst is None
        else {
            "symbol": feed.symbol,
            "sessions": len(bad),
            "worst": [clock.iso(worst.from_msc), clock.iso(worst.to_msc)],
            "missing_s": worst.missing_ms // 1000,
            "missing_most": completeness.MISSING_MOST,
        },
    )
