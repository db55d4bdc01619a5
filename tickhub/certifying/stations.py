"""What each station says of one hour of a feed, as a certificate tells it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from quality import queries as quality_queries
from storage import reader
from tickhub import ledger
from tickhub.core import digest, flags
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import ZERO, Digest
from tickhub.ledger import FeedLedger

# As the ledger names them, and as certificates do.
_OF_LEDGER = {
    "captured": "captured",
    "stored": "stored",
    "quarantined": "held",
    "duplicates": "duplicates",
    "failed": "failed",
    "waiting": "waiting",
}


@dataclass(frozen=True, slots=True)
class HourState:
    """An hour's stations, the flags of its stored ticks, and why it is not whole (nothing where it is)."""

    stations: dict[str, list[int | str]]
    flags: dict[str, int]
    reasons: list[str]

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        """Return what the certificate says of the hour."""
        return {
            "stations": self.stations,
            "flags": self.flags,
            "reasons": self.reasons,
            "is_whole": not self.reasons,
        }


def of_ledger(own: FeedLedger, hour: int) -> dict[str, list[int | str]]:
    """Return what the batches' rows say of an hour (since 1970)."""
    return {name: getattr(own, attribute).get(hour, ZERO).as_list() for name, attribute in _OF_LEDGER.items()}


def read(feed_id: int, own: FeedLedger, hour: int, *, is_proven: bool) -> HourState:
    """Read an hour of the tick table and the quarantine again, beside what the batches' rows say of it.

    ``is_proven``: a pass over the source's past has found nothing more of it.
    """
    from_msc, to_msc = hour * HOUR_MS, (hour + 1) * HOUR_MS
    stored = reader.read(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc)
    held, _ = quality_queries.held(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc, in_utc=True)
    said = {name: getattr(own, attribute).get(hour, ZERO) for name, attribute in _OF_LEDGER.items()}
    table, quarantine = digest.of(stored.ticks), digest.of(held)
    reasons = _reasons(said, table, quarantine)
    if not is_proven:
        reasons.append("no pass over the source's past has proven it yet")
    return HourState(
        stations=of_ledger(own, hour) | {"table": table.as_list(), "quarantine": quarantine.as_list()},
        flags=flags.counts(stored.quality.astype(np.int32)),
        reasons=reasons,
    )


def _reasons(said: dict[str, Digest], table: Digest, quarantine: Digest) -> list[str]:
    found = []
    if said["waiting"].count:
        found.append(f"{said['waiting'].count} ticks wait")
    if said["failed"].count:
        found.append(f"{said['failed'].count} ticks are in failed batches")
    accounted = digest.total(value for name, value in said.items() if name != "captured")
    if accounted != said["captured"]:
        found.append(_differ("captured, and what became of it", said["captured"], accounted))
    if table != said["stored"]:
        found.append(_differ("recorded as stored, and the tick table", said["stored"], table))
    if quarantine != said["quarantined"]:
        found.append(_differ("recorded as quarantined, and the quarantine", said["quarantined"], quarantine))
    return found


def _differ(what: str, expected: Digest, found: Digest) -> str:
    return f"{what} differ: {expected.count} and {found.count} ticks" + (
        " with other values" if expected.count == found.count else ""
    )


def hours_of(own: FeedLedger) -> set[int]:
    """Return the hours in which anything of a feed was captured."""
    return set(ledger.add(own.captured))
