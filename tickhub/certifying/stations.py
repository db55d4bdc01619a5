"""What each station says of one hour of a feed, as a certificate tells it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from quality import queries as quality_queries
from quality.gaps import Kind
from quality.models import Gap
from storage import reader
from tickhub import ledger
from tickhub.core import digest, flags
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import ZERO, Digest
from tickhub.ledger import FeedLedger
from tickhub.reference.models import Feed

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
    """What is known of an hour; ``gaps`` is None where it was not examined, ``reasons`` say why it is not whole."""

    stations: dict[str, list[int | str]]
    flags: dict[str, int]
    gaps: list[dict[str, Any]] | None  # Any: JSON
    judged_by: list[list[int]]
    reasons: list[str]

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        """Return what the certificate says of the hour."""
        return {
            "stations": self.stations,
            "flags": self.flags,
            "gaps": self.gaps,
            "judged_by": self.judged_by,
            "reasons": self.reasons,
            "is_whole": not self.reasons,
        }


def of_ledger(own: FeedLedger, hour: int) -> dict[str, list[int | str]]:
    """Return what the batches' rows say of an hour (since 1970)."""
    return {name: getattr(own, attribute).get(hour, ZERO).as_list() for name, attribute in _OF_LEDGER.items()}


def gaps_of(feed: Feed, hour: int, *, is_examined: bool) -> list[dict[str, Any]] | None:  # Any: JSON
    """Return the stretches without ticks that reach into an hour, as the certificate tells them."""
    if not is_examined:
        return None
    rows = quality_queries.gaps(feed_id=feed.pk, from_msc=hour * HOUR_MS, to_msc=(hour + 1) * HOUR_MS)
    names = ("from_msc", "to_msc", "kind", "cause", "state")
    return [{name: str(v) if isinstance(v := getattr(row, name), str) else v for name in names} for row in rows]


def read(feed: Feed, own: FeedLedger, hour: int, *, is_proven: bool, is_examined: bool) -> HourState:
    """Read an hour of the tick table and the quarantine again, beside what the batches' rows say of it.

    ``is_proven``: a pass over the source's past has found nothing more of it; ``is_examined``: its gaps are known.
    """
    feed_id, from_msc, to_msc = feed.pk, hour * HOUR_MS, (hour + 1) * HOUR_MS
    stored = reader.read(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc)
    held, _ = quality_queries.held(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc, in_utc=True)
    said = {name: getattr(own, attribute).get(hour, ZERO) for name, attribute in _OF_LEDGER.items()}
    table, quarantine = digest.of(stored.ticks), digest.of(held)
    reasons = _reasons(said, table, quarantine)
    if not is_proven:
        reasons.append("no pass over the source's past has proven it yet")
    if not is_examined:
        reasons.append("its gaps have not been looked for yet")
    found = gaps_of(feed, hour, is_examined=is_examined)
    if not feed.source.is_replay:
        # A recording's own gaps are facts of the recording.
        reasons += [f"{_lost(gap)} s {gap['kind']}: {gap['cause']}" for gap in found or () if _is_lost(gap)]
    return HourState(
        stations=of_ledger(own, hour) | {"table": table.as_list(), "quarantine": quarantine.as_list()},
        flags=flags.counts(stored.quality.astype(np.int32)),
        gaps=found,
        judged_by=ledger.judged_by(feed.source_id, feed_id, from_msc=from_msc, to_msc=to_msc),
        reasons=reasons,
    )


def _is_lost(gap: dict[str, Any]) -> bool:  # Any: JSON
    return gap["state"] == Gap.State.OPEN and gap["kind"] in (Kind.DISCONNECTED, Kind.STALLED)


def _lost(gap: dict[str, Any]) -> str:  # Any: JSON
    return f"{(gap['to_msc'] - gap['from_msc']) / 1000:,.0f}"


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
