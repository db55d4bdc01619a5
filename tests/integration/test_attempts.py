"""A batch that never comes to an outcome does not hold its source up for ever; one that only waits is not blamed."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import OperationalError, connection

from ingest import inbox, queries
from ingest.inbox import ATTEMPTS_MAX, DOUBTED_PUBLICATIONS
from ingest.models import Batch
from quality.models import Finding
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.crash import workers
from tickhub import pipeline

pytestmark = pytest.mark.usefixtures("database")


def captured() -> tuple[Rig, int]:
    """Two batches of a tick each, of which the second waits; the first one's day has its partition."""
    rig = make_rig("EURUSD")
    ticks = make_ticks([(0, 1.1, 1.2), (1, 1.1, 1.2)])
    for number in (1, 2):
        rig.terminal.history["EURUSD"] = ticks[:number]
        rig.source.now_msc = NOON_MSC + 20 * number
        rig.poller.poll()
    pipeline.process(batch_id=rig.published[0])
    return rig, rig.published[1]


def publish(times: int) -> None:
    """Let the sweeper take the batch so often; it is due again at once."""
    Batch.objects.update(next_publish_at=dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
    for _ in range(times):
        assert inbox.take_due(limit=10, publish_again_ms=0, most_ms=0)


@contextmanager
def ticks_refused() -> Iterator[None]:
    """Let every write to the tick table run out of time."""
    with psycopg.connect(workers.database_url()) as locking, connection.cursor() as cursor:
        locking.execute("LOCK TABLE tick IN SHARE MODE")
        cursor.execute("SET lock_timeout = '10ms'")
        yield
        cursor.execute("RESET lock_timeout")


def test_batch_without_an_outcome_is_failed_after_so_many_publications_and_keeps_its_bytes() -> None:
    rig, batch_id = captured()
    feed_id, source_id = rig.feeds["EURUSD"].pk, rig.poller.target.source_id
    publish(DOUBTED_PUBLICATIONS)
    with ticks_refused():
        for _ in range(ATTEMPTS_MAX):
            # Retries of one publication count once.
            for _retry in range(3):
                with pytest.raises(OperationalError):
                    pipeline.process(batch_id=batch_id)
            publish(1)
    assert state(batch_id) == ("WAITING", ATTEMPTS_MAX)
    assert queries.watermark_msc(feed_id=feed_id, source_id=source_id) == NOON_MSC

    assert pipeline.process(batch_id=batch_id) == batch_id

    expected = f"batch {batch_id}: tried after {ATTEMPTS_MAX} publications without an outcome"
    assert Batch.objects.get(pk=batch_id).failure.startswith(expected)
    assert Finding.objects.get().cause == "BATCH_FAILED"
    assert queries.watermark_msc(feed_id=feed_id, source_id=source_id) == NOON_MSC + 1
    inbox.release_failed(batch_ids=None)
    pipeline.process(batch_id=batch_id)
    assert state(batch_id) == ("STORED", 0)


def test_batch_that_waited_long_as_no_worker_ran_is_stored_at_the_first_attempt() -> None:
    _, batch_id = captured()
    publish(DOUBTED_PUBLICATIONS + ATTEMPTS_MAX + 1)

    pipeline.process(batch_id=batch_id)

    assert state(batch_id) == ("STORED", 1)


def test_attempts_at_a_batch_not_doubted_yet_are_not_counted() -> None:
    _, batch_id = captured()
    publish(DOUBTED_PUBLICATIONS - 1)

    with ticks_refused(), pytest.raises(OperationalError):
        pipeline.process(batch_id=batch_id)

    assert state(batch_id) == ("WAITING", 0)


def state(batch_id: int) -> tuple[str, int]:
    batch = Batch.objects.get(pk=batch_id)
    return batch.status, batch.attempt_count
