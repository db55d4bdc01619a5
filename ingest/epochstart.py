"""Says in which epoch of its clock the capture of a source begins, and asks for what lies before it."""

import logging

from ingest import backfill, cursors
from ingest.target import Target
from tickhub.core.zones import Epochs

logger = logging.getLogger(__name__)


def first_place(*, source_id: int, epochs: Epochs, feeds: dict[str, tuple[int, int]]) -> int:
    """Return the place of the epoch that capture stands in: the newest of any cursor, else that of the first begin."""
    ids = {position.epoch_id for position in cursors.load(source_id=source_id).values()}
    known = [place for place, row in enumerate(epochs.rows) if row.epoch_id in ids]
    if known:
        return max(known)
    return epochs.place_at(min(begins_msc for _, begins_msc in feeds.values()))


def ask_for_earlier(target: Target) -> None:
    """Ask for a backfill of what new feeds have before the epoch that capture stands in: it never goes back to one."""
    starts_msc = target.epoch.starts_msc
    known = cursors.load(source_id=target.source_id)
    for symbol, (feed_id, begins_msc) in target.feeds.items():
        if feed_id in known or begins_msc >= starts_msc:
            continue
        reason = "a new symbol that begins before the epoch of the clock that its source is captured in"
        backfill.request_once(feed_id=feed_id, from_msc=begins_msc, to_msc=starts_msc, reason=reason)
        logger.info("earlier history asked for", extra={"source": target.name, "symbol": symbol})
