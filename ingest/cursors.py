"""Cursors: read at start and after any error, moved only together with the batch that explains the move
(``save_batch.sql``), or to another epoch by a correction of the clock."""

from dataclasses import dataclass

from django.db.models import F

from ingest.models import Cursor
from tickhub.core.errors import TickhubError


class CursorMoved(TickhubError):
    """A cursor is not where this poller left it: the batch rolls back and the cursors are read again."""


@dataclass(frozen=True, slots=True)
class Position:
    """A feed's cursor as a poller knows it, in the terminal's clock during an epoch."""

    epoch_id: int
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
    return {
        row.feed_id: Position(row.epoch_id, row.last_msc, row.taken, row.version, row.last_batch_id) for row in rows
    }


def recast(*, feed_id: int, epoch_id: int, last_msc: int, taken: int) -> None:
    """Put a cursor into another epoch of a corrected clock, in the caller's transaction; nobody polls meanwhile."""
    Cursor.objects.filter(pk=feed_id).update(
        epoch_id=epoch_id, last_msc=last_msc, taken=taken, version=F("version") + 1
    )


def as_columns(moves: list[Move]) -> dict[str, list[int] | list[int | None]]:
    """Return moves as the columns that ``save_batch.sql`` takes."""
    return {
        "feed_ids": [move.feed_id for move in moves],
        "epoch_ids": [move.epoch_id for move in moves],
        "last_mscs": [move.last_msc for move in moves],
        "takens": [move.taken for move in moves],
        "versions": [move.version for move in moves],
    }


def moved(moves: list[Move], counts: str) -> CursorMoved:
    """Return the error of a save that found a cursor elsewhere than where it had been read."""
    feeds = ", ".join(str(move.feed_id) for move in moves)
    return CursorMoved(f"feeds {feeds}: a cursor was moved by another poller ({counts})")
