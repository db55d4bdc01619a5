"""Recognises a frame that was taken before: by the inbox, so that it holds over reconnects and restarts."""

from collections.abc import Sequence

from django.db import connection

from ingest.feedstate import FeedState
from ingest.target import Target
from ingest.wire.messages import Cursor, FramePart
from tickhub.core import batch as core_batch
from tickhub.core import digest
from tickhub.core.batch import Part

_SAME_TIMES = (
    "SELECT parts::text FROM ingest_batch WHERE source_id = %s AND last_msc = %s AND first_msc = %s AND tick_count = %s"
    " ORDER BY id DESC LIMIT 16"
)


def find(target: Target, pairs: Sequence[tuple[FeedState, FramePart]]) -> dict[int, Cursor] | None:
    """Return the cursors, by index, that the batch of an equal frame left behind; None where there is none.

    Equal is: the same cursors before, the same counts, the same digests.
    """
    filled = [(state, part) for state, part in pairs if len(part.ticks)]
    if not filled:
        return None
    times = [part.ticks["time_msc"] - target.offset_ms for _, part in filled]
    first, last = min(int(t[0]) for t in times), max(int(t[-1]) for t in times)
    count = sum(len(part.ticks) for _, part in filled)
    with connection.cursor() as cursor:
        cursor.execute(_SAME_TIMES, [target.source_id, last, first, count])
        batches = [core_batch.parts_from_json(row[0]) for row in cursor.fetchall()]
    for batch in batches:
        by_feed = {part.feed_id: part for part in batch if part.count}
        if len(by_feed) == len(filled) and all(_is_same(by_feed.get(s.feed_id), s, p) for s, p in filled):
            return {part.index: by_feed[state.feed_id].cursor_after or (0, 0) for state, part in filled}
    return None


def _is_same(saved: Part | None, state: FeedState, sent: FramePart) -> bool:
    if saved is None or saved.count != len(sent.ticks):
        return False
    before = saved.cursor or (state.begins_msc, 0)
    own = digest.of(sent.ticks, offset_ms=saved.offset_ms)
    return before == sent.cursor and digest.total(saved.hours.values()) == own
