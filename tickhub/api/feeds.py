"""What feeds/ reports: every feed, and how it is now."""

from typing import Any

from quality import silence as judging
from tickhub import silence
from tickhub.reference import queries as reference
from tickhub.silence import FeedState


def report() -> list[dict[str, Any]]:  # Any: JSON
    """Return every feed with its state, by source and symbol."""
    return [_describe(found) for found in silence.states()]


def _describe(found: FeedState) -> dict[str, Any]:  # Any: JSON
    feed = found.feed
    calendar = reference.calendar_of(feed)
    return {
        "feed": feed.pk,
        "source": feed.source.name,
        "symbol": feed.symbol,
        "instrument": feed.instrument.code,
        "calendar": None if calendar is None else calendar.label,
        "replay": feed.source.is_replay,
        **judging.describe(found.verdict),
    }
