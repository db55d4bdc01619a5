"""What quality/gaps/ reports: what is missing of an instrument's feeds in a period, why, and how complete they are."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from quality import completeness
from quality import queries as quality_queries
from quality.completeness import Hour, Share
from quality.models import Gap
from tickhub.api import parameters
from tickhub.core import clock
from tickhub.core.calendars import Calendar
from tickhub.core.clock import HOUR_MS
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed

PARTS = ("hour", "session", "day")
_DAYS_MOST = 31


@dataclass(frozen=True, slots=True)
class Question:
    """An instrument's code, a period in UTC milliseconds ``[start_msc, end_msc)``, and by what to divide it."""

    instrument: str
    start_msc: int
    end_msc: int
    parts: str


def read(query: QueryDict) -> Question:
    """Read a question.

    :raises rest_framework.exceptions.ParseError: if it cannot be understood
    """
    values = parameters.read(query, "instrument", "start", "end", "parts")
    instrument = parameters.required(values, "instrument")
    start_msc, end_msc = parameters.recent(values, most_days=_DAYS_MOST)
    return Question(instrument, start_msc, end_msc, parameters.choice(values, "parts", PARTS, default="day"))


def report(question: Question) -> list[dict[str, Any]]:  # Any: JSON
    """Return one object for each feed of the instrument, none where it is not known."""
    return [_describe(feed, question) for feed in reference.feeds().filter(instrument__code=question.instrument)]


def _describe(feed: Feed, question: Question) -> dict[str, Any]:  # Any: JSON
    first_hour, end_hour = question.start_msc // HOUR_MS, -(-question.end_msc // HOUR_MS)
    calendar = reference.calendar_of(feed)
    hours = quality_queries.examined(feed_id=feed.pk, from_hour=first_hour, to_hour=end_hour)
    found = quality_queries.gaps(feed_id=feed.pk, from_msc=question.start_msc, to_msc=question.end_msc)
    next_hour = quality_queries.next_hour(source_id=feed.source_id)
    return {
        "feed": feed.pk,
        "source": feed.source.name,
        "symbol": feed.symbol,
        "calendar": None if calendar is None else calendar.label,
        "replay": feed.source.is_replay,
        "examined_to": None if next_hour is None else clock.iso(next_hour * HOUR_MS),
        "completeness": completeness.share(hours, from_msc=first_hour * HOUR_MS, to_msc=end_hour * HOUR_MS).ratio,
        "gaps": _joined(found),
        "parts": [_share(share) for share in _divided(hours, calendar, question.parts)],
    }


def _divided(hours: list[Hour], calendar: Calendar | None, parts: str) -> list[Share]:
    if parts == "hour":
        return completeness.by_hour(hours)
    return completeness.by_session(hours, calendar) if parts == "session" else completeness.by_day(hours)


def _share(share: Share) -> dict[str, Any]:  # Any: JSON
    return {
        "start": clock.iso(share.from_msc),
        "end": clock.iso(share.to_msc),
        "session_s": share.session_ms / 1000,
        "missing_s": share.missing_ms / 1000,
        "completeness": share.ratio,
    }


def _joined(gaps: Iterable[Gap]) -> list[dict[str, Any]]:  # Any: JSON
    """Describe stretches, those joined that follow one another and are alike."""
    found: list[dict[str, Any]] = []  # Any: JSON
    for gap in gaps:
        facts = {"kind": gap.kind.lower(), "cause": gap.cause, "state": gap.state.lower(), "backfill": gap.backfill_id}
        start, end = clock.iso(gap.from_msc), clock.iso(gap.to_msc)
        if found and found[-1]["end"] == start and facts.items() <= found[-1].items():
            found[-1]["end"] = end
        else:
            found.append({"start": start, "end": end, **facts})
    return found
