"""The batches of a day under the new epochs: parts, digests by hour, what became of them. Pure.

Whatever is replaced is first compared with the rows that were read: a table that differs from its ledger is refused,
not made to look right.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ingest import recutting
from ingest.inbox import Restated
from ingest.queries import Record
from ingest.recutting import Run
from tickhub.core import digest
from tickhub.core.batch import Part
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import Digest
from tickhub.core.errors import PermanentError
from tickhub.core.flags import INFORMATIONAL
from tickhub.core.ticks import Int64s, Mask, Ticks
from tickhub.correcting.rows import CapturedRows, Recast

Hours = dict[int, Digest]
_FEW = 16


class LedgerDiffers(PermanentError):
    """A batch says other things of its ticks than the tables hold."""


class _Mixed:
    """Ticks mixed once, digested by hour for any choice of them."""

    def __init__(self, ticks: Ticks) -> None:
        self.hour: Int64s = ticks["time_msc"] // HOUR_MS
        self._first, self._second = digest.mixes(ticks)

    def hours(self, which: Int64s) -> Hours:
        """Return the digests by UTC hour of the rows at some places."""
        if len(which) <= _FEW:
            # A live poll brings a tick or two, for which arrays cost more than they save.
            return self._hours_of_few(which)
        return digest.of_mixes(self.hour[which], self._first[which], self._second[which])

    def _hours_of_few(self, which: Int64s) -> Hours:
        found: Hours = {}
        columns = (self.hour[which], self._first[which], self._second[which])
        for hour, first, second in zip(*(column.tolist() for column in columns), strict=True):
            found[hour] = found.get(hour, digest.ZERO) + Digest(1, first, second)
        return found


@dataclass(slots=True)
class _Queues:
    """The rows of one batch that no part has claimed yet, by feed and old offset."""

    places: dict[tuple[int, int], Int64s] = field(default_factory=dict)

    def take(self, feed_id: int, offset_ms: int, count: int) -> Int64s:
        rows = self.places.get((feed_id, offset_ms), np.zeros(0, dtype=np.int64))
        self.places[feed_id, offset_ms] = rows[count:]
        return rows[:count]


class Restating:
    """Restates the batches of the rows of ``[from_msc, to_msc)``, whole hours, UTC by the old reckoning."""

    def __init__(self, rows: CapturedRows, recast: Recast, *, from_msc: int, to_msc: int, made: set[int]) -> None:
        self._rows, self._recast = rows, recast
        self._low, self._high = from_msc // HOUR_MS, to_msc // HOUR_MS
        self._made = made
        self._old, self._new = _Mixed(rows.ticks), _Mixed(recast.ticks)
        self._was_held = rows.is_held
        self._is_held = (self._was_held & ~recast.is_released) | recast.is_timeless
        counted = ~int(INFORMATIONAL)
        self._flags = ((recast.quality & counted) != 0).astype(np.int64) - ((rows.quality & counted) != 0)

    def restate(self, records: list[Record]) -> Iterator[Restated]:
        """Yield what each batch is to say from now on.

        :raises LedgerDiffers: if a batch declares other ticks than those that were read
        """
        for record in records:
            start, end = np.searchsorted(self._rows.batch_id, [record.batch_id, record.batch_id + 1]).tolist()
            places = np.arange(start, end)
            parts = self._parts(record, places)
            first_msc, last_msc = self._bounds(record, parts, places)
            yield Restated(record.batch_id, first_msc, last_msc, parts, self._outcome(record, places))

    def _parts(self, record: Record, places: Int64s) -> tuple[Part, ...]:
        queues = _Queues()
        feeds, offsets = self._rows.feed_id[places], self._rows.offset_ms[places]
        for feed_id, offset_ms in sorted(set(zip(feeds.tolist(), offsets.tolist(), strict=True))):
            queues.places[feed_id, offset_ms] = places[(feeds == feed_id) & (offsets == offset_ms)]
        found: list[Part] = []
        for part in record.parts:
            count = 0 if part.epoch_id in self._made else recutting.count_within(part, self._low, self._high)
            if count == 0:
                found.append(part)
                continue
            own = queues.take(part.feed_id, part.offset_ms, count)
            self._compare(record, part.feed_id, recutting.within(part.hours, self._low, self._high), own, "captured")
            found += recutting.recut(part, low_hour=self._low, high_hour=self._high, runs=list(self._runs(own)))
        left = sum(len(rows) for rows in queues.places.values())
        if left:
            msg = f"batch {record.batch_id}: the tables hold {left} ticks more than it declares"
            raise LedgerDiffers(msg)
        return recutting.joined(found)

    def _runs(self, places: Int64s) -> Iterator[Run]:
        epochs = self._recast.epoch_id[places]
        ends = np.flatnonzero(epochs[1:] != epochs[:-1]) + 1
        for run in np.split(places, ends) if len(ends) else [places]:
            first = int(run[0])
            yield Run(int(self._recast.epoch_id[first]), int(self._recast.offset_ms[first]), self._new.hours(run))

    def _outcome(self, record: Record, places: Int64s) -> list[dict[str, Any]]:  # Any: JSON
        feeds, was_held, is_held = self._rows.feed_id[places], self._was_held[places], self._is_held[places]
        found, told = [], set()
        for entry in record.outcome:
            feed_id = entry["feed"]
            own: Mask = feeds == feed_id
            if feed_id in told or not own.any():
                found.append(entry)
                continue
            told.add(feed_id)
            changed = dict(entry)
            for station, before, after in (("stored", ~was_held, ~is_held), ("held", was_held, is_held)):
                changed[station] = self._station(
                    record, entry, station, before=places[own & before], after=places[own & after]
                )
            changed["flagged"] = entry["flagged"] + int(self._flags[places[own]].sum())
            found.append(changed)
        return found

    def _station(
        self, record: Record, entry: dict[str, Any], station: str, *, before: Int64s, after: Int64s
    ) -> dict[str, list[int | str]]:
        """Return what a station is to say of a part whose rows stood at some places before, and do now at others."""
        if not entry[station] and len(before) == 0 == len(after):
            return {}
        hours = {int(hour): Digest.from_list(value) for hour, value in entry[station].items()}
        replaced = recutting.within(hours, self._low, self._high)
        self._compare(record, entry["feed"], replaced, before, station)
        kept = {hour: value for hour, value in hours.items() if hour not in replaced}
        for hour, value in self._new.hours(after).items():
            kept[hour] = kept.get(hour, digest.ZERO) + value
        return {str(hour): value.as_list() for hour, value in kept.items()}

    def _compare(self, record: Record, feed_id: int, declared: Hours, places: Int64s, what: str) -> None:
        if declared != self._old.hours(places):
            msg = (
                f"batch {record.batch_id}: of feed {feed_id} it declares {digest.total(declared.values()).count} ticks "
                f"{what}, the tables hold {len(places)}, or others"
            )
            raise LedgerDiffers(msg)

    def _bounds(self, record: Record, parts: tuple[Part, ...], places: Int64s) -> tuple[int, int]:
        """Return the earliest and the latest tick; where that is not known to the millisecond, its hour's bound."""
        hours = {hour for part in parts for hour in part.hours}
        times = self._recast.ticks["time_msc"][places]
        low, high = min(hours), max(hours)
        firsts = [t for t in (record.first_msc, int(times.min())) if t // HOUR_MS == low]
        lasts = [t for t in (record.last_msc, int(times.max())) if t // HOUR_MS == high]
        return min(firsts, default=low * HOUR_MS), max(lasts, default=(high + 1) * HOUR_MS - 1)
