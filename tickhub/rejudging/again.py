"""One stored batch judged again: which flags its ticks would gain and lose, in the table and in quarantine.

Writes nothing. A batch is judged again by the checks, facts and thresholds in force, whatever it was judged by, so that
its record has one basis for all of its flags.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ingest import stored as batches
from quality import inspection
from quality import queries as quality_queries
from quality.inspection import Judgement
from storage import reader
from storage.reader import Stored
from tickhub import judging
from tickhub.core.batch import Batch
from tickhub.core.flags import HOLD, OF_THE_POLL, Flag, FlagArray
from tickhub.core.ticks import Int64s, Mask
from tickhub.judging import Basis
from tickhub.rejudging import matching

# What a check decides, and may decide anew. The rest are facts of the poll, of a key that was taken, of a person's
# decision, and what keeps a tick out of the table: whether it is in there is not changed here.
OF_CHECKS = ~(HOLD | OF_THE_POLL | Flag.COLLISION | Flag.RELEASED)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that a station has of a batch, shape (n,) each: their place in the batch, their flags now and judged anew.

    ``judged`` are the flags of every check, those that no row gains here among them.
    """

    place: Int64s
    before: FlagArray
    judged: FlagArray

    @property
    def after(self) -> FlagArray:
        """The flags that each row is to have."""
        decided = np.int32(OF_CHECKS)
        after: FlagArray = (self.before & ~decided) | (self.judged & decided)
        return after

    @property
    def is_changed(self) -> Mask:
        """Which rows' flags change."""
        marks: Mask = self.before != self.after
        return marks


@dataclass(frozen=True, slots=True)
class Again:
    """A batch judged again: ``stored`` are its rows in the table, ``table`` and ``quarantine`` their flags."""

    batch: Batch
    basis: Basis
    judged: Judgement
    stored: Stored
    table: Rows
    quarantine: Rows

    @property
    def would_be_held(self) -> FlagArray:
        """What would keep each row of the table out of it if it came now, 0 for most; not for released ones."""
        is_released = (self.table.before & int(Flag.RELEASED)) != 0
        return np.where(is_released, 0, self.table.judged & int(HOLD & ~OF_THE_POLL)).astype(np.int32)

    @property
    def would_be_stored(self) -> Mask:
        """Which rows of the quarantine nothing would keep out of the table if they came now."""
        # Refused by the table, or of a day too many: no check finds that again.
        by_check = int(HOLD & ~(OF_THE_POLL | Flag.UNSTORABLE | Flag.IMPLAUSIBLE_DAY))
        is_by_check: Mask = (self.quarantine.before & int(HOLD) & ~by_check) == 0
        return is_by_check & ~inspection.held(self.quarantine.judged)


def judge(*, batch_id: int, feed_ids: Collection[int] | None = None) -> Again:
    """Judge a stored batch again by every check, however long each takes; of the ticks of some feeds (all, with None).

    :raises ingest.inbox.BatchUnavailable: if it is not stored
    :raises ingest.inbox.BytesGone: if its bytes were dropped
    :raises tickhub.core.errors.PermanentError: if bytes and rows differ, or a check raises
    """
    batch = batches.read(batch_id=batch_id)
    basis = judging.basis_of(batch)
    judged = inspection.judge(batch, facts=basis.facts, limits=judging.limits_of(basis))
    feed_of_tick = batch.feed_of_tick()
    chosen = np.ones(len(batch.ticks), dtype=bool) if feed_ids is None else np.isin(feed_of_tick, list(feed_ids))
    stored = reader.read_batch_at(
        batch_id=batch_id, feed_id=feed_of_tick[chosen], time_msc=batch.ticks["time_msc"][chosen]
    )
    place = matching.places(batch, stored)
    held_place, held = quality_queries.held_places(batch_id=batch_id)
    is_chosen = chosen[held_place]
    held_place, held = held_place[is_chosen], held[is_chosen].astype(np.int32)
    return Again(
        batch=batch,
        basis=basis,
        judged=judged,
        stored=stored,
        table=Rows(place, stored.quality.astype(np.int32), judged.flags[place]),
        quarantine=Rows(held_place, held, judged.flags[held_place]),
    )
