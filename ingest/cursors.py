"""Cursors: read at start and after any error, moved only together with the batch that explains the move."""

from dataclasses import dataclass

from django.db import connection

from ingest.models import Cursor
from tickhub.core.errors import TickhubError


class CursorMoved(TickhubError):
    """A cursor is not where this poller left it: the batch rolls back and the cursors are read again."""


@dataclass(frozen=True, slots=True)
class Position:
    """A feed's cursor as a poller knows it, in the terminal's clock."""

    last_msc: int
    taken: int
    version: int
    last_batch_id: int


@dataclass(frozen=True, slots=True)
class Move:
    """One cursor's move; ``version`` is the one it must still have, None where the cursor is new."""

    feed_id: int
    epoch_id: int
    last_msc: int
    taken: int
    version: int | None


def load(*, source_id: int) -> dict[int, Position]:
    """Return the positions of a source's feeds that have captured anything."""
    rows = Cursor.objects.filter(feed__source_id=source_id).order_by("feed_id")
    return {row.feed_id: Position(row.last_msc, row.taken, row.version, row.last_batch_id) for row in rows}


def move(moves: list[Move], *, batch_id: int) -> None:
    """Move cursors in the caller's transaction.

    :raises CursorMoved: if any is not at the version it was read at
    """
    if not moves:
        return
    known = [move for move in moves if move.version is not None]
    fresh = [move for move in moves if move.version is None]
    touched = 0
    with connection.cursor() as cursor:
        if known:
            cursor.execute(
                "UPDATE ingest_cursor c SET epoch_id = m.epoch_id, last_msc = m.last_msc, taken = m.taken,"
                " last_batch_id = %s, version = c.version + 1"
                " FROM unnest(%s::int2[], %s::int8[], %s::int8[], %s::int4[], %s::int8[])"
                " AS m (feed_id, epoch_id, last_msc, taken, version)"
                " WHERE c.feed_id = m.feed_id AND c.version = m.version",
                [batch_id, *_columns(known), [move.version for move in known]],
            )
            touched += cursor.rowcount
        if fresh:
            cursor.execute(
                "INSERT INTO ingest_cursor (feed_id, epoch_id, last_msc, taken, last_batch_id, version)"
                " SELECT m.*, %s, 1 FROM unnest(%s::int2[], %s::int8[], %s::int8[], %s::int4[]) AS m"
                " ON CONFLICT (feed_id) DO NOTHING",
                [batch_id, *_columns(fresh)],
            )
            touched += cursor.rowcount
    if touched != len(moves):
        msg = f"batch {batch_id}: {len(moves) - touched} of {len(moves)} cursors were moved by another poller"
        raise CursorMoved(msg)


def _columns(moves: list[Move]) -> list[list[int]]:
    return [
        [move.feed_id for move in moves],
        [move.epoch_id for move in moves],
        [move.last_msc for move in moves],
        [move.taken for move in moves],
    ]
