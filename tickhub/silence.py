"""The state of every feed now: what capture, connection, session and the feed's own habits say together."""

from collections.abc import Iterator
from dataclasses import dataclass

from ingest import links
from ingest import queries as inbox_queries
from ingest.links import LinkSeen
from quality import queries as quality_queries
from quality import silence
from quality.silence import Seen, Verdict
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed, Source

# How a connection is lost, in words.
LOST = {
    "IPC_LOST": "the terminal does not answer",
    "LINK_LOST": "the terminal has lost its broker",
    "WRONG_ACCOUNT": "the terminal shows another account",
    "HUNG": "the terminal's call hung, or its poller was gone without an end",
    "UNCAPTURED": "nobody captured the source",
}


@dataclass(frozen=True, slots=True)
class FeedState:
    """A feed with its state; of a recording it is that at the recorded time which playback has reached."""

    feed: Feed
    verdict: Verdict


def states() -> Iterator[FeedState]:
    """Yield the state of every feed, by source and symbol."""
    now_msc = clock.now_msc()
    newest = {link.source_id: link for link in links.links()}
    by_source: dict[int, list[Feed]] = {}
    for feed in reference.feeds():
        by_source.setdefault(feed.source_id, []).append(feed)
    for source_id, feeds in by_source.items():
        captured = inbox_queries.captured_to(source_id=source_id)
        source = feeds[0].source
        at_msc = max(captured.values(), default=now_msc) if source.is_replay else now_msc
        allowed = quality_queries.allowed_ms(feed_ids=[feed.pk for feed in feeds], hour=at_msc // HOUR_MS)
        seen = [
            Seen(
                feed_id=feed.pk,
                since_msc=captured.get(feed.pk, feed.begins_msc),
                has_ticks=feed.pk in captured,
                allowed_ms=allowed[feed.pk],
                calendar=reference.calendar_of(feed),
            )
            for feed in feeds
        ]
        verdicts = silence.judge(seen, at_msc=at_msc, lost=_lost(source, newest.get(source_id)))
        yield from (FeedState(feed, verdict) for feed, verdict in zip(feeds, verdicts, strict=True))


def _lost(source: Source, link: LinkSeen | None) -> str | None:
    """Say how a source's connection is lost, None while it is not; a recording has none to lose."""
    if source.is_replay:
        return None
    if link is None:
        return "nobody has captured the source yet"
    if not link.is_held:
        return f"nobody captures the source since {clock.iso(link.seen_msc)}"
    return LOST.get(link.link)
