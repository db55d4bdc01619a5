"""Gives stored ticks other keys: a stretch of feeds' rows is deleted and written anew, in the caller's transaction."""

import numpy as np
import numpy.typing as npt

from storage import reader, tick_writer
from storage.packing import Rows
from tickhub.core import ticks as tick_arrays
from tickhub.core.batch import SEQ_MAX
from tickhub.core.errors import PermanentError
from tickhub.core.ticks import Int64s, Mask


class RowsChanged(PermanentError):
    """The table does not hold the rows that were read of it a moment ago."""


def replace(*, feed_ids: list[int], from_msc: int, to_msc: int, expected: int, rows: Rows) -> Rows:
    """Delete feeds' rows within ``[from_msc, to_msc)`` and write ``rows``; return those that got another seq.

    A key that another row has already gets the next free seq of its millisecond.

    :raises RowsChanged: if not exactly ``expected`` rows were there
    """
    removed = tick_writer.remove(feed_ids=feed_ids, from_msc=from_msc, to_msc=to_msc)
    if removed != expected:
        msg = f"ticks from {from_msc} to {to_msc}: {expected} were read, {removed} deleted"
        raise RowsChanged(msg)
    if len(rows) == 0:
        return rows
    seq, is_moved = free_seqs(rows, *_taken(rows))
    placed = Rows(rows.feed_id, seq, rows.ticks, rows.quality, rows.batch_id)
    placed_in_order = placed.sorted_by_key()
    for start in range(0, len(rows), reader.PIECE_TICKS):
        tick_writer.copy(placed_in_order.take(slice(start, start + reader.PIECE_TICKS)))
    return placed.take(is_moved)


def _taken(rows: Rows) -> tuple[Int64s, Int64s, Int64s]:
    """Return feed, time and seq of what stands in the stretches that rows are written to."""
    found = []
    for feed_id in np.unique(rows.feed_id).tolist():
        times = rows.ticks["time_msc"][rows.feed_id == feed_id]
        found.append(reader.read(feed_id=feed_id, from_msc=int(times.min()), to_msc=int(times.max()) + 1))
    return (
        np.concatenate([piece.feed_id.astype(np.int64) for piece in found]),
        np.concatenate([piece.ticks["time_msc"] for piece in found]),
        np.concatenate([piece.seq.astype(np.int64) for piece in found]),
    )


def free_seqs(rows: Rows, feed_id: Int64s, time_msc: Int64s, seq: Int64s) -> tuple[npt.NDArray[np.int16], Mask]:
    """Return the seq of each row beside the keys that are taken, and which rows could not keep their own.

    :raises RowsChanged: if a millisecond has no seq left
    """
    feeds = np.concatenate([feed_id, rows.feed_id.astype(np.int64)])
    times = np.concatenate([time_msc, rows.ticks["time_msc"]])
    seqs = np.concatenate([seq, rows.seq.astype(np.int64)])
    order = np.lexsort((np.arange(len(seqs)), seqs, times, feeds))
    feeds, times, seqs = feeds[order], times[order], seqs[order]
    is_same_msc = np.concatenate(([False], (feeds[1:] == feeds[:-1]) & (times[1:] == times[:-1])))
    is_moved = is_same_msc & np.concatenate(([False], seqs[1:] == seqs[:-1]))
    if is_moved.any():
        group = np.cumsum(~is_same_msc) - 1
        most = np.maximum.reduceat(seqs, np.flatnonzero(~is_same_msc))
        seqs[is_moved] = most[group[is_moved]] + 1 + tick_arrays.position_in_group(group[is_moved])
        if seqs.max() > SEQ_MAX:
            msg = f"ticks at {int(times[seqs.argmax()])}: more than {SEQ_MAX + 1} in one millisecond"
            raise RowsChanged(msg)
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    own = back[len(seq) :]
    return seqs[own].astype(np.int16), is_moved[own]
