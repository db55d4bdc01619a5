"""Which hours that were examined or certified new batches reach, or changes: they are noted as due again."""

from collections.abc import Iterable

import numpy as np
from django.conf import settings
from django.db import transaction

from ingest import stored
from quality import arrivals, certificates, due_hours
from quality import queries as quality_queries
from quality.models import Certification
from storage import reader
from tickhub.core.batch import Batch
from tickhub.core.clock import HOUR_MS
from tickhub.core.ticks import Mask
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed


def note(*, source_id: int) -> bool:
    """Note the hours that the next batches of a source reach, in a transaction; return whether there may be more.

    Hours not examined or certified yet need no note: they come to their turn with all that is stored by then.
    """
    with transaction.atomic(durable=True):
        row, _ = Certification.objects.select_for_update().get_or_create(
            source_id=source_id, defaults={"through_batch_id": stored.before_first()}
        )
        after_id = row.through_batch_id
        through_id = stored.settled_through(source_id=source_id, after_id=after_id)
        if through_id == after_id:
            return False
        feeds = {feed.pk: feed for feed in reference.feeds() if feed.source_id == source_id}
        certified = {feed_id: certificates.certified_msc(feed_id=feed_id) or 0 for feed_id in feeds}
        examined_hour = quality_queries.next_hour(source_id=source_id) or 0
        reached = stored.hours_between(
            source_id=source_id,
            after_id=after_id,
            through_id=through_id,
            before_msc=max([examined_hour * HOUR_MS, *certified.values()]),
        )
        note_to_examine(source_id=source_id, hours={hour for _, hour in reached if hour < examined_hour})
        for feed_id, until_msc in certified.items():
            own = [(hour, hour + 1) for of_feed, hour in reached if of_feed == feed_id and hour * HOUR_MS < until_msc]
            due_hours.note(due_hours.CERTIFY, source_id=source_id, feed_ids=[feed_id], hours=own)
        Certification.objects.filter(pk=source_id).update(through_batch_id=through_id)
    return True


def note_passed(batch: Batch) -> None:
    """Note the hours of a batch that had failed when its turn came, in the transaction that stores it."""
    reached = [(part.feed_id, hour) for part in batch.parts for hour in part.hours]
    note_to_examine(source_id=batch.source_id, hours={hour for _, hour in reached}, of_batch_id=batch.batch_id)
    for part in batch.parts:
        due_hours.note(
            due_hours.CERTIFY,
            source_id=batch.source_id,
            feed_ids=[part.feed_id],
            hours=[(hour, hour + 1) for hour in part.hours],
            of_batch_id=batch.batch_id,
        )


def note_judged(batch: Batch, *, which: Mask) -> None:
    """Note the hours of the ticks marked, which were judged again, to be certified, in the caller's transaction."""
    for part, place, _ in batch.slices():
        hours = np.unique(batch.ticks["time_msc"][place][which[place]] // HOUR_MS).tolist()
        due_hours.note(
            due_hours.CERTIFY,
            source_id=batch.source_id,
            feed_ids=[part.feed_id],
            hours=[(hour, hour + 1) for hour in hours],
        )


def note_to_examine(*, source_id: int, hours: Iterable[int], of_batch_id: int | None = None) -> None:
    """Note hours of a source in which ticks came or went, with those behind them that such a tick may bear on, in the
    caller's transaction; ``of_batch_id`` as in :func:`quality.due_hours.note`."""
    runs = [(hour, hour + arrivals.REACH_HOURS) for hour in hours]
    due_hours.note(due_hours.EXAMINE, source_id=source_id, feed_ids=None, hours=runs, of_batch_id=of_batch_id)


def note_all(feed: Feed) -> None:
    """Note all hours of a feed that are certified, in a transaction."""
    certified_msc, first_msc = certificates.certified_msc(feed_id=feed.pk), certificates.first_msc(feed_id=feed.pk)
    if certified_msc is None or first_msc is None:
        return
    hours = [(first_msc // HOUR_MS, certified_msc // HOUR_MS)]
    with transaction.atomic(durable=True):
        due_hours.note(due_hours.CERTIFY, source_id=feed.source_id, feed_ids=[feed.pk], hours=hours)


def through(*, source_id: int) -> int:
    """Return up to which batch of a source the hours that they reach have been noted."""
    return Certification.objects.filter(pk=source_id).values_list("through_batch_id", flat=True).first() or 0


def first_hour(feed: Feed) -> int | None:
    """Return the hour of a feed's first tick, stored, held, or in a batch of its source that is not decided on."""
    known = (
        reader.earliest(feed_id=feed.pk),
        quality_queries.earliest_held(feed_ids=[feed.pk], from_msc=settings.EARLIEST_MSC),
        stored.first_undecided_msc(source_id=feed.source_id, from_msc=settings.EARLIEST_MSC),
    )
    times_msc = [at for at in known if at is not None]
    return min(times_msc) // HOUR_MS if times_msc else None


def next_hour(feed: Feed, *, from_hour: int) -> int | None:
    """Return a feed's first hour from one on that is examined or has a tick, None where there is none."""
    at_msc = reader.earliest(feed_id=feed.pk, from_msc=from_hour * HOUR_MS)
    examined = quality_queries.next_examined(feed_id=feed.pk, from_hour=from_hour)
    known = (examined, None if at_msc is None else at_msc // HOUR_MS)
    return min((hour for hour in known if hour is not None), default=None)
