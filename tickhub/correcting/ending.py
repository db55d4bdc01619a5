"""The end of a correction: epochs, cursors, begins and playback follow the ticks, in one transaction."""

import logging

import numpy as np
import redis

from ingest import backfill, cursors, leases
from storage import latest
from tickhub.core import recasting, zones
from tickhub.core.zones import OFFSET_MS_MAX, Epochs
from tickhub.correcting import request
from tickhub.correcting import rows as day_rows
from tickhub.reference import corrections
from tickhub.reference import queries as reference
from tickhub.reference.models import ClockCorrection

logger = logging.getLogger(__name__)

# No two clocks are further apart.
_SHIFT_MS_MAX = 2 * OFFSET_MS_MAX + 1


def finish(correction: ClockCorrection) -> None:
    """Put the new clock in force, in the caller's transaction."""
    source, made = correction.source, corrections.epochs_made(correction)
    begins = {}
    for feed in reference.feeds(source=source.name):
        if _is_within(correction, feed.begins_msc):
            begins[feed.pk] = _first(correction, feed.begins_msc, made)
    start_msc = source.playback_start_msc
    if source.is_replay and start_msc is not None and _is_within(correction, start_msc):
        start_msc = _first(correction, start_msc, made)
    _recast_cursors(correction)
    covered_msc = leases.covered_of(source_id=source.pk)
    if covered_msc is not None and _is_within(correction, covered_msc):
        leases.recast(source_id=source.pk, covered_msc=_first(correction, covered_msc, made))
    # What is asked for is what lies on the terminal's clock; of an hour shown twice, both passes.
    for asked in backfill.open_requests(source_id=source.pk):
        if _is_within(correction, asked.from_msc) or _is_within(correction, asked.to_msc - 1):
            from_msc = _first(correction, asked.from_msc, made)
            backfill.recast(asked, from_msc=from_msc, to_msc=_last(correction, asked.to_msc - 1, made) + 1)
    corrections.finish(
        correction=correction,
        spec=request.spec_of(source, zones.parse(correction.clock)),
        playback_start_msc=start_msc,
        begins=begins,
    )


def _is_within(correction: ClockCorrection, utc_msc: int) -> bool:
    is_begun = correction.from_msc is None or utc_msc >= correction.from_msc
    return is_begun and (correction.to_msc is None or utc_msc < correction.to_msc)


def _first(correction: ClockCorrection, utc_msc: int, made: Epochs) -> int:
    """Return the new time of an instant given by the old reckoning; of an hour shown twice, the earlier."""
    wall_msc = utc_msc + corrections.epochs_before(correction).at(utc_msc).offset_ms
    return wall_msc - made.rows[recasting.passes(wall_msc, made)[0]].offset_ms


def _last(correction: ClockCorrection, utc_msc: int, made: Epochs) -> int:
    """Return the new time of an instant given by the old reckoning; of an hour shown twice, the later."""
    wall_msc = utc_msc + corrections.epochs_before(correction).at(utc_msc).offset_ms
    return wall_msc - made.rows[recasting.passes(wall_msc, made)[-1]].offset_ms


def _recast_cursors(correction: ClockCorrection) -> None:
    """Put every cursor on the newest tick, by the new clock, of those that it had come to by the old one.

    One that has come to none, as all its ticks were from the future, stays where it is on the terminal's clock.
    """
    before, after = corrections.epochs_before(correction), corrections.epochs_after(correction)
    for feed_id, position in cursors.load(source_id=correction.source_id).items():
        reached_msc = position.last_msc - before.of(position.epoch_id).offset_ms
        first, _ = recasting.passes(position.last_msc, after)
        from_msc = position.last_msc - after.rows[first].offset_ms
        rows = day_rows.read(feed_ids=[feed_id], from_msc=from_msc, to_msc=from_msc + _SHIFT_MS_MAX, epochs=after)
        times = rows.ticks["time_msc"]
        passed = np.flatnonzero(recasting.earliest(rows.wall_msc, before) <= reached_msc)
        wall_msc, utc_msc = position.last_msc, from_msc
        if len(passed):
            newest = int(passed[times[passed].argmax()])
            wall_msc, utc_msc = int(rows.wall_msc[newest]), int(times[newest])
        epoch = next(
            row
            for row in (after.rows[place] for place in recasting.passes(wall_msc, after))
            if wall_msc - row.offset_ms == utc_msc
        )
        taken = int(np.count_nonzero(times == utc_msc))
        cursors.recast(feed_id=feed_id, epoch_id=epoch.epoch_id, last_msc=wall_msc, taken=taken)


def refresh_latest(correction: ClockCorrection) -> None:
    """Set the cache of latest ticks anew: the newest tick of a feed may be earlier now."""
    feed_ids = [feed.pk for feed in reference.feeds(source=correction.source.name)]
    try:
        latest.forget(feed_ids)
        latest.publish(list(latest.from_table(feed_ids).values()))
    except redis.RedisError as error:
        logger.warning("latest ticks not cached", extra={"source": correction.source.name, "error": str(error)})
