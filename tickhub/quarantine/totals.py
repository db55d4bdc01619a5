"""What became of a batch's ticks, counted anew from the rows of the tick table and of the quarantine."""

from typing import Any

from ingest.queries import Record
from quality import queries as quality_queries
from storage import reader
from tickhub.core import clock, digest
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import Digest
from tickhub.core.errors import PermanentError

FeedHour = tuple[int, int]
_COUNTED = ("stored", "held")


class TotalsDiffer(PermanentError):
    """The tables do not hold what a batch captured: they are to be looked at, not made to look right."""


def recounted(record: Record, *, changed: set[FeedHour]) -> list[dict[str, Any]]:  # Any: JSON
    """Return a stored batch's outcome with the hours (UTC, since 1970) of the feeds given counted anew.

    :raises TotalsDiffer: if stored, held and duplicate ticks of such an hour are not those captured, bit for bit
    """
    outcome = [dict(entry) for entry in record.outcome]
    for feed_id, hour in sorted(changed):
        counted = {"stored": _stored(record, feed_id, hour), "held": _held(record, feed_id, hour)}
        own = [entry for entry in outcome if entry["feed"] == feed_id]
        _check(record, feed_id, hour, counted, own)
        for station in _COUNTED:
            # A feed has one entry; were there more, the first would speak for all.
            for entry in own:
                entry[station] = {key: value for key, value in entry[station].items() if key != str(hour)}
            if counted[station].count:
                own[0][station][str(hour)] = counted[station].as_list()
    return outcome


def _bounds(record: Record, hour: int) -> tuple[int, int]:
    """Return the hour's share of the time that the batch's ticks span: its index makes a short read of it."""
    return max(hour * HOUR_MS, record.first_msc), min((hour + 1) * HOUR_MS, record.last_msc + 1)


def _stored(record: Record, feed_id: int, hour: int) -> Digest:
    from_msc, to_msc = _bounds(record, hour)
    pieces = reader.read_pieces(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc)
    return digest.total(digest.of(piece.ticks[piece.batch_id == record.batch_id]) for piece in pieces)


def _held(record: Record, feed_id: int, hour: int) -> Digest:
    from_msc, to_msc = hour * HOUR_MS, (hour + 1) * HOUR_MS
    held = quality_queries.held_of_batch(batch_id=record.batch_id, feed_id=feed_id, from_msc=from_msc, to_msc=to_msc)
    return digest.of(held)


def _check(
    record: Record,
    feed_id: int,
    hour: int,
    counted: dict[str, Digest],
    own: list[dict[str, Any]],  # Any: JSON
) -> None:
    captured = digest.total(part.hours[hour] for part in record.parts if part.feed_id == feed_id and hour in part.hours)
    duplicates = digest.total(
        Digest.from_list(entry["duplicates"][str(hour)]) for entry in own if str(hour) in entry["duplicates"]
    )
    found = counted["stored"] + counted["held"] + duplicates
    if found != captured:
        msg = (
            f"batch {record.batch_id}: of feed {feed_id} it captured {captured.count} ticks in the hour of "
            f"{clock.iso(hour * HOUR_MS)}, the tables give back {found.count}, or others; "
            f"run `manage.py reconcile --deep`"
        )
        raise TotalsDiffer(msg)
