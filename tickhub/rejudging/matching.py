"""Finds for each stored row of a batch the tick of its bytes. Pure."""

import numpy as np

from storage.reader import Stored
from tickhub.core import ticks as tick_arrays
from tickhub.core.batch import Batch
from tickhub.core.errors import PermanentError
from tickhub.core.ticks import Int64s, Ticks

# No stored tick is later: beyond it a key of time and seq would not fit 63 bits.
_TIME_END = 1 << 47
_SEQS = 1 << 15


class RowsDiffer(PermanentError):
    """The table holds a tick of a batch that the batch's bytes do not."""


def places(batch: Batch, stored: Stored) -> Int64s:
    """Return the place in the batch of each stored row of it, shape (n,), int64.

    By key and bytes; a row that got another seq, as its own was taken, by its bytes in the order of its millisecond.

    :raises RowsDiffer: if a row is none of the batch's ticks
    """
    found = np.full(len(stored.ticks), -1, dtype=np.int64)
    feed_of_tick, times, seq = batch.feed_of_tick(), batch.ticks["time_msc"], batch.seq.astype(np.int64)
    is_storable = (times >= 0) & (times < _TIME_END)
    for feed_id in np.unique(stored.feed_id).tolist():
        own = np.flatnonzero((feed_of_tick == feed_id) & is_storable)
        rows = np.flatnonzero(stored.feed_id == feed_id)
        keys = times[own] * _SEQS + seq[own]
        wanted = stored.ticks["time_msc"][rows] * _SEQS + stored.seq[rows].astype(np.int64)
        by_key = _positions(keys, wanted)
        is_there = by_key >= 0
        is_there[is_there] = _equal(stored.ticks[rows[is_there]], batch.ticks[own[by_key[is_there]]])
        found[rows[is_there]] = own[by_key[is_there]]
        _place_moved(batch, stored, np.setdiff1d(own, found), rows[~is_there], found)
    missing = np.flatnonzero(found < 0)
    if len(missing):
        first = int(missing[0])
        msg = (
            f"batch {batch.batch_id}: {len(missing)} of its stored ticks are not in its bytes, the first is "
            f"{int(stored.ticks['time_msc'][first])}/{int(stored.seq[first])} of feed {int(stored.feed_id[first])}"
        )
        raise RowsDiffer(msg)
    return found


def _positions(keys: Int64s, wanted: Int64s) -> Int64s:
    """Return where each wanted key is among keys, -1 where it is not; of equal keys the first."""
    if len(keys) == 0:
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    at = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    return np.where(keys[order[at]] == wanted, order[at], -1)


def _equal(left: Ticks, right: Ticks) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Return which ticks hold the same bits."""
    marks: np.ndarray[tuple[int], np.dtype[np.bool_]] = (tick_arrays.as_bytes(left) == tick_arrays.as_bytes(right)).all(
        axis=1
    )
    return marks


def _place_moved(batch: Batch, stored: Stored, own: Int64s, rows: Int64s, found: Int64s) -> None:
    """Place rows that have another seq: the n-th of equal bytes is the n-th such tick that has no row yet."""
    if len(rows) == 0 or len(own) == 0:
        return
    own = own[np.lexsort((batch.seq[own], batch.ticks["time_msc"][own]))]
    both = tick_arrays.join([batch.ticks[own], stored.ticks[rows]])
    _, group = np.unique(np.ascontiguousarray(both).view(f"V{both.dtype.itemsize}"), return_inverse=True)
    group = group.reshape(-1)
    found_at = _positions(_numbered(group[: len(own)]), _numbered(group[len(own) :]))
    found[rows] = np.where(found_at >= 0, own[found_at], -1)


def _numbered(group: Int64s) -> Int64s:
    """Return a number for each entry that tells its group and how many of it stand before."""
    order = np.argsort(group, kind="stable")
    number = np.empty(len(group), dtype=np.int64)
    number[order] = tick_arrays.position_in_group(group[order])
    return group * (1 << 20) + number
