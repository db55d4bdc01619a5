"""Adds single ticks beside those that are stored, in the caller's transaction.

A key that is taken is no reason to refuse: the tick is stored under the next free seq of its millisecond with the flag
COLLISION, as the write path does.
"""

from dataclasses import dataclass

import numpy as np
from django.db import connection

from storage import reader, rekeying, tick_writer
from storage.packing import Rows
from storage.tick_writer import Collision
from tickhub.core.flags import Flag
from tickhub.core.ticks import Int64s, Mask


@dataclass(frozen=True, slots=True)
class Added:
    """Rows as they were written, in the order given, and those whose own key was taken."""

    rows: Rows
    collisions: list[Collision]


def add(rows: Rows) -> Added:
    """Write at most 1,000 rows, all or none.

    :raises storage.rekeying.RowsChanged: if a millisecond has no seq left
    :raises django.db.IntegrityError: if a key was taken a moment ago, or a day has no partition
    :raises django.db.DataError: if the table refuses a value
    """
    seq, is_moved = rekeying.free_seqs(rows, *_taken(rows))
    quality = np.where(is_moved, rows.quality | int(Flag.COLLISION), rows.quality).astype(np.int32)
    placed = Rows(rows.feed_id, seq, rows.ticks, quality, rows.batch_id)
    tick_writer.insert(placed.sorted_by_key())
    return Added(placed, _collisions(rows, placed, is_moved))


def _taken(rows: Rows) -> tuple[Int64s, Int64s, Int64s]:
    """Return feed, time and seq of what stands in the rows' milliseconds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.feed_id, t.time_msc, t.seq FROM (SELECT DISTINCT * FROM unnest(%s::int2[], %s::int8[])) AS"
            " k (feed_id, time_msc) JOIN tick t ON t.feed_id = k.feed_id AND t.time_msc = k.time_msc",
            [rows.feed_id.tolist(), rows.ticks["time_msc"].tolist()],
        )
        found = np.array(cursor.fetchall(), dtype=np.int64).reshape(-1, 3)
    return found[:, 0], found[:, 1], found[:, 2]


def _collisions(rows: Rows, placed: Rows, is_moved: Mask) -> list[Collision]:
    """Tell each tick whose key was taken, with the row that has it."""
    if not is_moved.any():
        return []
    moved, moved_to = rows.take(is_moved), placed.take(is_moved)
    _, _, others = reader.lookup(moved)
    found = []
    for index in range(len(moved)):
        own = moved.ticks[index : index + 1].tobytes()
        found.append(
            Collision(
                feed_id=int(moved.feed_id[index]),
                time_msc=int(moved.ticks["time_msc"][index]),
                seq=int(moved.seq[index]),
                new_seq=int(moved_to.seq[index]),
                stored=others.get(index, own).hex(),
                new=own.hex(),
            )
        )
    return found
