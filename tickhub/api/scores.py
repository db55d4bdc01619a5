"""Scores by REST: of each feed of an instrument over a period, and of its hours."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from quality import scores
from quality.scores import Counts
from tickhub import scoring
from tickhub.api import parameters
from tickhub.api.base import ReadView
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed

_DAYS_MOST = 7


class ScoresView(ReadView):
    """The score of each feed of an instrument over the hours of ``[start, end)``, at most 7 days, with its parts.

    Without ``end`` it is now, without ``start`` a day before.
    """

    def get(self, request: Request) -> Response:
        values = parameters.read(request.query_params, "instrument", "start", "end")
        code = parameters.required(values, "instrument")
        start_msc, end_msc = parameters.recent(values, most_days=_DAYS_MOST)
        feeds = [feed for feed in reference.feeds() if feed.instrument.code == code]
        if not feeds:
            return Response({"detail": f"instrument not known: {code}"}, status=404)
        from_hour, to_hour = start_msc // HOUR_MS, -(-end_msc // HOUR_MS)
        found = scoring.counts(feeds, from_hour=from_hour, to_hour=to_hour)
        return Response(
            {
                "start": clock.iso(from_hour * HOUR_MS),
                "end": clock.iso(to_hour * HOUR_MS),
                "weights": scores.WEIGHTS,
                "feeds": [_describe(feed, found[feed.pk]) for feed in feeds],
            }
        )


def _describe(feed: Feed, found: Mapping[int, Counts]) -> dict[str, Any]:  # Any: JSON
    return {
        "feed": feed.pk,
        "source": feed.source.name,
        "symbol": feed.symbol,
        "replay": feed.source.is_replay,
        **_score(scores.add(list(found.values()))),
        "hours": [{"start": clock.iso(hour * HOUR_MS), **_score(counts)} for hour, counts in found.items()],
    }


def _score(counts: Counts) -> dict[str, Any]:  # Any: JSON
    found = scores.score(counts)
    parts = {name: None if part is None else round(part, 6) for name, part in found.parts.items()}
    value = None if found.value is None else round(found.value, 2)
    return {"score": value, "parts": parts, "counts": asdict(counts)}
