"""What was captured of a source in a day: the rows of the tick table and of the quarantine, as one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quality import queries as quality_queries
from quality import sessions
from quality.checks import sessions as session_checks
from storage import reader
from tickhub.core import recasting
from tickhub.core import ticks as tick_arrays
from tickhub.core.calendars import Calendar
from tickhub.core.flags import HOLD, Flag
from tickhub.core.recasting import Placed
from tickhub.core.ticks import Int64s, Mask, Ticks
from tickhub.core.zones import Epochs

# Flags that follow from the clock, decided anew under another one.
_OF_THE_CLOCK = int(Flag.AMBIGUOUS_TIME | Flag.NO_SUCH_TIME | Flag.OUT_OF_SESSION)


@dataclass(frozen=True, slots=True)
class CapturedRows:
    """Columns of equal length, by batch, feed and wall clock, which is the order of a batch's bytes.

    ``held_id`` is the row's id in the quarantine, 0 for a row of the tick table.
    """

    ticks: Ticks
    seq: Int64s
    quality: Int64s
    batch_id: Int64s
    feed_id: Int64s
    offset_ms: Int64s
    held_id: Int64s
    is_rejected: Mask

    def __len__(self) -> int:
        return len(self.ticks)

    @property
    def wall_msc(self) -> Int64s:
        """Return the rows' times on the terminal's clock."""
        times: Int64s = self.ticks["time_msc"] + self.offset_ms
        return times

    @property
    def is_held(self) -> Mask:
        """Mark the rows of the quarantine."""
        return self.held_id > 0


def read(*, feed_ids: list[int], from_msc: int, to_msc: int, epochs: Epochs) -> CapturedRows:
    """Read what was captured of feeds within ``[from_msc, to_msc)``, UTC by ``epochs``."""
    stored = [reader.read(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc) for feed_id in feed_ids]
    held = quality_queries.held_rows(feed_ids=feed_ids, from_msc=from_msc, to_msc=to_msc)
    ticks = tick_arrays.join([*(piece.ticks for piece in stored), held.ticks])
    count = len(ticks) - len(held.ticks)
    none = np.zeros(count, dtype=np.int64)
    offset_ms = recasting.offsets_at(ticks["time_msc"][:count], epochs)
    rows = CapturedRows(
        ticks=ticks,
        seq=np.concatenate([*(piece.seq.astype(np.int64) for piece in stored), held.seq]),
        quality=np.concatenate([*(piece.quality.astype(np.int64) for piece in stored), held.quality]),
        batch_id=np.concatenate([*(piece.batch_id for piece in stored), held.batch_id]),
        feed_id=np.concatenate([*(piece.feed_id.astype(np.int64) for piece in stored), held.feed_id]),
        offset_ms=np.concatenate([offset_ms, held.offset_ms]),
        held_id=np.concatenate([none, held.row_id]),
        is_rejected=np.concatenate([none.astype(bool), held.is_rejected]),
    )
    order = np.lexsort((rows.seq, rows.wall_msc, rows.feed_id, rows.batch_id))
    return CapturedRows(*(getattr(rows, name)[order] for name in CapturedRows.__slots__))


@dataclass(frozen=True, slots=True)
class Recast:
    """The rows under the new epochs: ``ticks`` in UTC anew, each with its epoch and flags.

    ``is_released`` marks held rows that have a time now, ``is_timeless`` stored rows that have none.
    """

    ticks: Ticks
    epoch_id: Int64s
    offset_ms: Int64s
    quality: Int64s
    is_released: Mask
    is_timeless: Mask

    @property
    def is_unsure(self) -> Mask:
        """Mark the rows of an hour shown twice whose pass cannot be told."""
        return (self.quality & int(Flag.AMBIGUOUS_TIME)) != 0


def recast(
    rows: CapturedRows,
    epochs: Epochs,
    *,
    polled_msc: Int64s,
    is_playback: bool,
    calendars: Mapping[int, Calendar | None],
) -> Recast:
    """Place rows under other epochs; ``polled_msc`` is the time of each row's poll, UTC by the old reckoning.

    ``calendars`` are those of the feeds by id: a tick may lie in its session by the new time only.
    """
    seen_msc = polled_msc + rows.offset_ms if is_playback else polled_msc
    placed: Placed = recasting.place(rows.wall_msc, epochs, polled_msc=seen_msc, is_playback=is_playback)
    offsets = np.array([row.offset_ms for row in epochs.rows], dtype=np.int64)[placed.place]
    quality = rows.quality & ~_OF_THE_CLOCK
    quality |= np.where(placed.is_unsure, int(Flag.AMBIGUOUS_TIME), 0)
    quality |= np.where(placed.is_nowhere, int(Flag.NO_SUCH_TIME), 0)
    ticks = tick_arrays.shift_each(rows.ticks, rows.offset_ms - offsets)
    quality |= np.where(_out_of_session(ticks["time_msc"], rows, calendars), int(Flag.OUT_OF_SESSION), 0)
    return Recast(
        ticks=ticks,
        epoch_id=np.array([row.epoch_id for row in epochs.rows], dtype=np.int64)[placed.place],
        offset_ms=offsets,
        quality=quality,
        is_released=rows.is_held & ~rows.is_rejected & ((quality & int(HOLD)) == 0),
        is_timeless=placed.is_nowhere & ~rows.is_held,
    )


def _out_of_session(time_msc: Int64s, rows: CapturedRows, calendars: Mapping[int, Calendar | None]) -> Mask:
    marks = np.zeros(len(time_msc), dtype=bool)
    is_plausible = (rows.quality & int(Flag.IMPLAUSIBLE_DAY)) == 0
    for feed_id in np.unique(rows.feed_id).tolist():
        calendar = calendars[feed_id]
        if calendar is not None:
            own = is_plausible & (rows.feed_id == feed_id)
            marks[own] = session_checks.closed(time_msc[own], calendar, earliest_msc=0, latest_msc=sessions.LATEST_MSC)
    return marks
