"""Compares what a terminal shows with what was captured: which rows are new, which are gone. Pure functions.

Neither time nor value identifies a tick: several share a millisecond and identical ones are real. So both sides are
compared as multisets of whole records (a record holds its millisecond).
"""

from dataclasses import dataclass

import numpy as np

from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import TICK_SIZE_BYTES, Int64s, Mask, Ticks


@dataclass(frozen=True, slots=True)
class Comparison:
    """``is_new`` marks rows of what the terminal shows, ``is_gone`` rows of what was captured."""

    is_new: Mask
    is_gone: Mask


def compare(captured: Ticks, shown: Ticks) -> Comparison:
    """Compare captured rows with the rows a terminal shows of the same stretch of time.

    Of equal rows the later ones are the new ones, as a terminal inserts late rows behind those of their millisecond.
    Both arrays are sorted by time; the results have their shapes.
    """
    is_new = np.zeros(len(shown), dtype=bool)
    is_gone = np.zeros(len(captured), dtype=bool)
    head = len(captured)
    if head <= len(shown) and tick_arrays.same(captured, shown[:head]):
        # The common case: nothing moved behind the cursor.
        is_new[head:] = True
        return Comparison(is_new, is_gone)
    is_new[:], is_gone[:] = multiset_difference(captured, shown)
    return Comparison(is_new, is_gone)


def multiset_difference(captured: Ticks, shown: Ticks) -> tuple[Mask, Mask]:
    """Mark the rows of each side that exceed the other side's count of the same record."""
    both = np.concatenate([captured, shown])
    # Byte strings of equal length compare by value; only equality matters here.
    values = np.ascontiguousarray(both).view(f"S{TICK_SIZE_BYTES}")
    _, ids = np.unique(values, return_inverse=True)
    left, right = ids[: len(captured)], ids[len(captured) :]
    size = int(ids.max()) + 1 if len(ids) else 0
    left_count = np.bincount(left, minlength=size)
    right_count = np.bincount(right, minlength=size)
    return _rank(right) >= left_count[right], _rank(left) >= right_count[left]


def _rank(ids: Int64s) -> Int64s:
    """Number the occurrences of each id in order of appearance, from 0."""
    order = np.argsort(ids, kind="stable")
    rank = np.empty(len(ids), dtype=np.int64)
    rank[order] = tick_arrays.position_in_group(ids[order])
    return rank


def next_seqs(new_msc: Int64s, captured_msc: Int64s) -> Int64s:
    """Give each new row the next free seq of its millisecond.

    ``new_msc`` is sorted; ``captured_msc`` (sorted) holds the millisecond of every row captured so far in the same
    stretch, those that are gone included, so that a millisecond's next free seq is its count.
    """
    taken = np.searchsorted(captured_msc, new_msc, side="right") - np.searchsorted(captured_msc, new_msc, side="left")
    return taken + tick_arrays.position_in_group(new_msc)
