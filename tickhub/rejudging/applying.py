"""Gives a batch's ticks the flags that judging it again found, one transaction for each batch.

Only flags change: never a key, a price, or which station holds a tick. What the batch says of its ticks follows: how
many are flagged, and what they were judged by.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
from django.db import transaction

from ingest import inbox, queries
from quality import findings, quarantine, unjudged
from quality.findings import Observation
from storage import latest, tick_writer
from storage.latest import LatestTick
from storage.packing import Rows
from tickhub import reaching
from tickhub.core.flags import INFORMATIONAL, FlagArray
from tickhub.core.ticks import Mask
from tickhub.reference import corrections
from tickhub.reference.models import Source
from tickhub.rejudging import again as judging_again
from tickhub.rejudging.again import Again


def judge_and_apply(*, batch_id: int, source: Source, feed_ids: Collection[int] | None = None) -> Again:
    """Judge a stored batch again and change the flags of its ticks (of some feeds; all, with None), in one transaction.

    :raises tickhub.core.errors.UsageError: if a correction of its source's clock is under way
    :raises ingest.inbox.BatchUnavailable: if it is not stored
    :raises ingest.inbox.BytesGone: if its bytes were dropped
    :raises tickhub.core.errors.PermanentError: if bytes and rows differ, or a check raises
    """
    with transaction.atomic(durable=True):
        # In this order everywhere: source, batch, quarantine, ticks.
        corrections.hold_off(source=source)
        inbox.lock_stored(batch_id=batch_id)
        found = judging_again.judge(batch_id=batch_id, feed_ids=feed_ids)
        newest = _apply(found, feed_ids)
    latest.offer(newest)
    return found


def _apply(again: Again, feed_ids: Collection[int] | None) -> list[LatestTick]:
    """Change the flags of a locked batch; return the newest row of each feed among those changed."""
    batch, table = again.batch, again.table
    changed = again.stored.take(table.is_changed)
    tick_writer.requalify(changed, after=table.after[table.is_changed])
    held = again.quarantine
    quarantine.requalify(
        batch_id=batch.batch_id, position=held.place[held.is_changed], quality=held.after[held.is_changed]
    )
    findings.append(_found(again), source_id=batch.source_id, batch_id=batch.batch_id)
    (record,) = queries.records(batch_ids=[batch.batch_id])
    inbox.recount(batch_id=batch.batch_id, outcome=_outcome(again, record.outcome, feed_ids))
    reaching.note_judged(batch, which=_places(again))
    if feed_ids is None or {part.feed_id for part in batch.parts} <= set(feed_ids):
        unjudged.mark_judged(batch_id=batch.batch_id)
    rows = Rows(changed.feed_id, changed.seq, changed.ticks, table.after[table.is_changed], batch.batch_id)
    return latest.newest_rows(rows)


def _places(again: Again) -> Mask:
    """Mark the ticks of the batch whose certificates say something else now: all that were judged again."""
    marks: Mask = np.zeros(len(again.batch.ticks), dtype=bool)
    marks[again.table.place] = True
    marks[again.quarantine.place] = True
    return marks


def _found(again: Again) -> list[Observation]:
    """Return an observation for each flag that ticks gain; what they had is told already."""
    gained = np.zeros(len(again.batch.ticks), dtype=np.int32)
    for rows in (again.table, again.quarantine):
        gained[rows.place] = rows.after & ~rows.before
    return findings.of_flags(again.batch, flags=gained, spikes=again.judged.spikes)


def _outcome(
    again: Again,
    outcome: list[dict[str, Any]],  # Any: JSON
    feed_ids: Collection[int] | None,
) -> list[dict[str, Any]]:
    """Return what the batch is to say of its ticks; only the first entry of a feed counts its flagged ones anew."""
    feed_of_tick = again.batch.feed_of_tick()
    told, found = set(), []
    for entry in outcome:
        feed_id = entry["feed"]
        if feed_ids is not None and feed_id not in feed_ids:
            found.append(entry)
            continue
        calendar = again.basis.facts[feed_id].calendar
        said = {name: value for name, value in entry.items() if name != "calendar"}
        said |= {"judged": again.basis.as_json(feed_id)} | ({} if calendar is None else {"calendar": calendar.label})
        if feed_id not in told:
            told.add(feed_id)
            said["flagged"] += sum(
                _more_flagged(rows.before, rows.after, feed_of_tick[rows.place] == feed_id)
                for rows in (again.table, again.quarantine)
            )
        found.append(said)
    return found


def _more_flagged(before: FlagArray, after: FlagArray, which: Mask) -> int:
    counted = ~int(INFORMATIONAL)
    return int(((after & counted) != 0)[which].sum()) - int(((before & counted) != 0)[which].sum())
