"""The check on sessions. Each function returns one boolean per tick, shape (n,): True where it is wrong."""

from collections.abc import Mapping

import numpy as np

from quality import sessions
from tickhub.core.batch import Batch
from tickhub.core.calendars import Calendar
from tickhub.core.ticks import Int64s, Mask


def closed(time_msc: Int64s, calendar: Calendar, *, earliest_msc: int, latest_msc: int) -> Mask:
    """Mark the times within ``[earliest_msc, latest_msc)`` at which a calendar is closed.

    What lies outside has no plausible day and is not judged by its session.
    """
    marks = np.zeros(len(time_msc), dtype=bool)
    if len(time_msc) == 0:
        return marks
    low = max(int(time_msc.min()), earliest_msc, 0)
    high = min(int(time_msc.max()) + 1, latest_msc, sessions.LATEST_MSC)
    intervals = sessions.open_intervals(calendar, low, high)
    if len(intervals) == 1 and intervals[0].tolist() == [low, high]:
        return marks
    outside: Mask = (time_msc >= low) & (time_msc < high) & ~sessions.is_open(time_msc, intervals)
    return outside


def out_of_session(
    batch: Batch, *, calendars: Mapping[int, Calendar | None], earliest_msc: int, latest_msc: int
) -> Mask:
    """Mark ticks of a time at which their feed's calendar is closed, for all feeds of a batch.

    ``calendars`` maps the feed's id to its calendar; an unknown session (None) is never closed.
    """
    marks = np.zeros(len(batch.ticks), dtype=bool)
    places: dict[Calendar, list[slice]] = {}
    for part, place, _ in batch.slices():
        calendar = calendars[part.feed_id]
        if calendar is not None and part.count:
            places.setdefault(calendar, []).append(place)
    for calendar, own in places.items():
        # Once for all feeds of a calendar: most batches lie within its hours as a whole.
        outside = closed(batch.ticks["time_msc"], calendar, earliest_msc=earliest_msc, latest_msc=latest_msc)
        if outside.any():
            for place in own:
                marks[place] = outside[place]
    return marks
