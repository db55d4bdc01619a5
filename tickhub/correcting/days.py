"""One day of a correction: read and placed anew first, then written in one transaction."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from django.db import transaction

from ingest import inbox, queries
from ingest.inbox import Restated
from quality import arrivals, due_hours, findings, hours, quarantine
from quality import queries as quality_queries
from quality.findings import Observation
from storage import partitions, reader, rekeying
from storage.packing import Rows
from tickhub.core.clock import DAY_MS, EARLIEST_MSC, HOUR_MS, LATEST_MSC
from tickhub.core.flags import Flag
from tickhub.core.ticks import Int64s
from tickhub.correcting import rows as day_rows
from tickhub.correcting.batches import LedgerDiffers, Restating
from tickhub.correcting.rows import CapturedRows, Recast
from tickhub.reference import corrections
from tickhub.reference import queries as reference
from tickhub.reference.models import ClockCorrection

_TOLD_CONFLICTS = 20
# A batch's row is a few kilobytes in memory, and a day may hold over a million batches.
BATCHES_AT_ONCE = 5_000


@dataclass(slots=True)
class Figures:
    """What was done, in ticks; shifts are new time minus old.

    ``held`` stay in quarantine, ``released`` left it, ``timeless`` went there, as the new clock leaves their hour out,
    ``ambiguous`` are of an hour shown twice and of either pass,
    ``conflicts`` got another seq, as their key was taken.
    """

    ticks: int = 0
    moved: int = 0
    held: int = 0
    released: int = 0
    timeless: int = 0
    ambiguous: int = 0
    conflicts: int = 0
    batches: int = 0
    shift_min_ms: int = 0
    shift_max_ms: int = 0

    def add(self, other: "Figures") -> "Figures":
        """Return the sum of both; the shifts are those of both."""
        total = {name: value + getattr(other, name) for name, value in asdict(self).items()}
        total["shift_min_ms"] = min(self.shift_min_ms, other.shift_min_ms)
        total["shift_max_ms"] = max(self.shift_max_ms, other.shift_max_ms)
        return Figures(**total)


@dataclass(frozen=True, slots=True)
class Day:
    """A day as it was captured and as it will be."""

    day: int
    from_msc: int
    to_msc: int
    feed_ids: list[int]
    rows: CapturedRows
    recast: Recast
    batch_ids: Int64s

    @property
    def figures(self) -> Figures:
        """Return what writing it does; conflicts are known only then."""
        shift = self.recast.ticks["time_msc"] - self.rows.ticks["time_msc"]
        return Figures(
            ticks=len(self.rows),
            moved=int(np.count_nonzero(shift)),
            held=int(np.count_nonzero(self.rows.is_held & ~self.recast.is_released)),
            released=int(np.count_nonzero(self.recast.is_released)),
            timeless=int(np.count_nonzero(self.recast.is_timeless)),
            ambiguous=int(np.count_nonzero(self.recast.is_unsure)),
            batches=len(self.batch_ids),
            shift_min_ms=int(shift.min(initial=0)),
            shift_max_ms=int(shift.max(initial=0)),
        )

    @property
    def new_days(self) -> set[int]:
        """Return the days on which its ticks stand afterwards."""
        return set(np.unique(self.recast.ticks["time_msc"] // DAY_MS).tolist())


def read(correction: ClockCorrection, day: int, feed_ids: list[int]) -> Day:
    """Read a day (since 1970, by the old reckoning) and place its ticks anew; nothing is written.

    :raises tickhub.correcting.batches.LedgerDiffers: if the tables hold ticks of no stored batch
    """
    low, high = day * DAY_MS, (day + 1) * DAY_MS
    if correction.from_msc is not None:
        low = max(low, correction.from_msc)
    if correction.to_msc is not None:
        high = min(high, correction.to_msc)
    # Each read is a transaction of its own: nobody else writes to a source under correction.
    rows = day_rows.read(feed_ids=feed_ids, from_msc=low, to_msc=high, epochs=corrections.epochs_before(correction))
    batch_ids = np.unique(rows.batch_id)
    polls = [queries.polls(batch_ids=ids) for ids in _pieces(batch_ids)]
    found = sum(len(piece) for piece in polls)
    if found != len(batch_ids):
        msg = f"day {np.datetime64(day, 'D')}: ticks of {len(batch_ids) - found} batches that are not stored"
        raise LedgerDiffers(msg)
    polled_msc: Int64s = np.array([msc for piece in polls for msc in piece], dtype=np.int64)
    recast = day_rows.recast(
        rows,
        corrections.epochs_made(correction),
        polled_msc=polled_msc[np.searchsorted(batch_ids, rows.batch_id)],
        is_playback=correction.source.is_replay,
        calendars={feed_id: fact.calendar for feed_id, fact in reference.feed_facts(feed_ids).items()},
    )
    return Day(day, low, high, feed_ids, rows, recast, batch_ids)


def _pieces(batch_ids: Int64s) -> Iterator[list[int]]:
    for start in range(0, len(batch_ids), BATCHES_AT_ONCE):
        yield batch_ids[start : start + BATCHES_AT_ONCE].tolist()


def restated(correction: ClockCorrection, day: Day) -> Iterator[list[Restated]]:
    """Yield what the day's batches are to say, some thousands at once.

    :raises tickhub.correcting.batches.LedgerDiffers: if the tables do not hold what they declare
    """
    restating = Restating(day.rows, day.recast, from_msc=day.from_msc, to_msc=day.to_msc, made=set(correction.made))
    for ids in _pieces(day.batch_ids):
        yield list(restating.restate(queries.records(batch_ids=ids)))


def write(correction: ClockCorrection, day: Day, *, total: Figures, still_ours: Callable[[], None]) -> Figures:
    """Write a day and the progress of its correction in one transaction; return the new total.

    ``still_ours`` is called last: it raises where the lease is lost.

    :raises tickhub.correcting.batches.LedgerDiffers: if the tables do not hold what the batches declare
    :raises tickhub.reference.corrections.CorrectionMoved: if another process has done it
    :raises django.db.DatabaseError: if the database failed; nothing of the day is done
    """
    rows, recast = day.rows, day.recast
    is_stored = (~rows.is_held & ~recast.is_timeless) | recast.is_released
    keyed = Rows(
        feed_id=rows.feed_id[is_stored].astype(np.int16),
        seq=rows.seq[is_stored].astype(np.int16),
        ticks=recast.ticks[is_stored],
        quality=recast.quality[is_stored].astype(np.int32),
        batch_id=rows.batch_id[is_stored],
    ).sorted_by_key()
    days = np.unique(keyed.ticks["time_msc"] // DAY_MS).tolist()
    if days:
        partitions.ensure(days, earliest_day=days[0], latest_day=days[-1])
    with transaction.atomic(durable=True):
        moved = rekeying.replace(
            feed_ids=day.feed_ids,
            from_msc=day.from_msc,
            to_msc=day.to_msc,
            expected=int(np.count_nonzero(~rows.is_held)),
            rows=keyed,
        )
        # First, as rows released by this correction stand under the new clock already.
        _follow_released(day)
        held = rows.is_held
        quarantine.recast(
            row_ids=rows.held_id[held],
            time_msc=recast.ticks["time_msc"][held],
            offset_ms=recast.offset_ms[held],
            # A released row keeps the reasons for which it was held.
            quality=np.where(recast.is_released, rows.quality, recast.quality)[held],
            is_released=recast.is_released[held],
        )
        _hold_timeless(rows, recast)
        for some in restated(correction, day):
            inbox.restate(some)
        for flag in (Flag.AMBIGUOUS_TIME, Flag.NO_SUCH_TIME, Flag.OUT_OF_SESSION):
            _tell(flag, correction, rows, recast)
        _look_again(correction, day)
        done = day.figures
        done.conflicts = len(moved)
        total = total.add(done)
        corrections.advance(
            correction=correction,
            figures=asdict(total),
            done={"day": str(np.datetime64(day.day, "D")), **asdict(done), "conflicting": _conflicts(moved)},
        )
        still_ours()
    correction.days_done += 1
    return total


def _look_again(correction: ClockCorrection, day: Day) -> None:
    """Forget what was found in the hours of a day's ticks, by the old clock and the new: they are to be examined and
    certified again. A silence at an hour's bound reaches into the hours beside it."""
    times = np.concatenate([day.rows.ticks["time_msc"], day.recast.ticks["time_msc"]])
    if len(times) == 0:
        return
    from_hour, to_hour = int(times.min()) // HOUR_MS - 1, int(times.max()) // HOUR_MS + arrivals.REACH_HOURS
    hours.forget(feed_ids=day.feed_ids, from_hour=from_hour, to_hour=to_hour)
    if correction.to_msc is None and correction.days_done + 1 == len(correction.days):
        # The newest ticks may be earlier now: their hour is not over. The day written last may be any.
        newest = [
            reader.newest_before(feed_id=feed_id, from_msc=EARLIEST_MSC, to_msc=LATEST_MSC) for feed_id in day.feed_ids
        ]
        next_hour = max((msc for msc in newest if msc is not None), default=EARLIEST_MSC) // HOUR_MS
        hours.turn_back(source_id=correction.source_id, next_hour=next_hour)
    for work, feed_ids in ((due_hours.EXAMINE, None), (due_hours.CERTIFY, day.feed_ids)):
        due_hours.note(work, source_id=correction.source_id, feed_ids=feed_ids, hours=[(from_hour, to_hour)])


def _follow_released(day: Day) -> None:
    """Let the quarantine's rows of ticks that were released before say the ticks' new times."""
    rows = day.rows
    batch_ids = quality_queries.batches_with_released(feed_ids=day.feed_ids, from_msc=day.from_msc, to_msc=day.to_msc)
    which = np.isin(rows.batch_id, batch_ids) & ~rows.is_held
    quarantine.follow(
        batch_id=rows.batch_id[which],
        feed_id=rows.feed_id[which],
        seq=rows.seq[which],
        before_msc=rows.ticks["time_msc"][which],
        time_msc=day.recast.ticks["time_msc"][which],
        offset_ms=day.recast.offset_ms[which],
    )


def _hold_timeless(rows: CapturedRows, recast: Recast) -> None:
    which = recast.is_timeless
    quarantine.hold_stored(
        ticks=recast.ticks[which],
        seq=rows.seq[which],
        quality=recast.quality[which],
        batch_id=rows.batch_id[which],
        feed_id=rows.feed_id[which],
        offset_ms=recast.offset_ms[which],
    )


def _tell(flag: Flag, correction: ClockCorrection, rows: CapturedRows, recast: Recast) -> None:
    """Append a finding for each feed with ticks that have a flag of the clock now and had it not, as capture does."""
    is_new = (recast.quality & ~rows.quality & int(flag)) != 0
    for feed_id in np.unique(rows.feed_id[is_new]).tolist():
        own = np.flatnonzero(is_new & (rows.feed_id == feed_id))
        first = {"time_msc": int(recast.ticks["time_msc"][own[0]]), "seq": int(rows.seq[own[0]])}
        findings.append(
            [Observation(flag.name or "", feed_id, len(own), {"first": first, "correction": correction.pk})],
            source_id=correction.source_id,
            batch_id=int(rows.batch_id[own[0]]),
        )


def _conflicts(moved: Rows) -> list[dict[str, int]]:
    """Tell the first ticks that could not keep their seq: feed, time and the seq that each has now."""
    columns = (moved.feed_id, moved.ticks["time_msc"], moved.seq)
    return [
        {"feed": feed_id, "time_msc": time_msc, "seq": seq}
        for feed_id, time_msc, seq in zip(*(c[:_TOLD_CONFLICTS].tolist() for c in columns), strict=True)
    ]
