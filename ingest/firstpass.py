"""Knows what of an hour that the clock shows twice was not captured in its first pass.

The second pass is what is shown beside the first as captured. Rows of the first that were never captured would be taken
for rows of the second; so where there may be any, the stretch is recorded, and what is captured in it is in doubt.
"""

import logging
from collections.abc import Iterable, Sequence

from ingest import cursors
from ingest.epochend import Unread
from ingest.epochview import AHEAD_MS
from ingest.poller import Poller
from ingest.target import Target
from tickhub.reference import sources

logger = logging.getLogger(__name__)

# A stretch of wall clock: from, to.
Stretch = tuple[int, int]


def note_leaving(poller: Poller, unread: Sequence[Unread]) -> None:
    """Record what a poller leaves of its epoch, where the next one begins with a repeated hour.

    :raises django.db.DatabaseError: if the database failed; it may be repeated
    """
    target = poller.target
    zone = target.epochs.repeated(target.place + 1)
    if zone is None:
        return
    second = target.epochs.rows[target.place + 1]
    # What lies further ahead is shown of the first pass alone, and was captured as such.
    reached_msc = poller.utc_msc + second.offset_ms + AHEAD_MS + 1
    left = {one.feed_id for one in unread}
    doubts: dict[str, Stretch] = {}
    for state in poller.states:
        begins_msc = target.feeds[state.symbol][1]
        stretches = [
            (poller.seen.of(state.feed_id) + target.offset_ms + 1, reached_msc),
            (begins_msc + second.offset_ms, begins_msc + target.offset_ms),
        ]
        # What was left unread may be shown at any time of the second pass, and anywhere in the hour.
        hull = zone if state.feed_id in left else _hull(stretches, zone)
        if hull is not None:
            doubts[state.symbol] = hull
    _record(target, second.epoch_id, doubts)


def note_beginning(target: Target) -> None:
    """Record what of an epoch's repeated hour was not captured of feeds that begin in it, or are new to it.

    Comes before the first poller of a process, or of an agent's connection. Raises as :func:`note_leaving`.
    """
    zone = target.epochs.repeated(target.place)
    if zone is None:
        return
    known = cursors.load(source_id=target.source_id)
    new = {symbol: begins_msc for symbol, (feed_id, begins_msc) in target.feeds.items() if feed_id not in known}
    hulls = {symbol: _hull([(begins_msc + target.offset_ms, zone[1])], zone) for symbol, begins_msc in new.items()}
    _record(target, target.epoch_id, {symbol: hull for symbol, hull in hulls.items() if hull is not None})


def _hull(stretches: Iterable[Stretch], zone: Stretch) -> Stretch | None:
    """Return the stretch that holds all of some, as far as they lie in a zone; None where none does."""
    inside = [(max(low, zone[0]), min(high, zone[1])) for low, high in stretches]
    inside = [(low, high) for low, high in inside if low < high]
    return (min(low for low, _ in inside), max(high for _, high in inside)) if inside else None


def _record(target: Target, epoch_id: int, doubts: dict[str, Stretch]) -> None:
    for symbol, (from_msc, to_msc) in doubts.items():
        sources.record_unsure(epoch_id=epoch_id, feed_id=target.feeds[symbol][0], from_msc=from_msc, to_msc=to_msc)
    if doubts:
        logger.warning(
            "an hour that the clock repeats was not captured in its first pass",
            extra={"source": target.name, "feeds": doubts},
        )
