"""A hundred thousand batches wait and no worker runs: Valkey stays small, and every batch gets its turn."""

import pytest
from django.conf import settings
from django.db import connection

from ingest.models import Batch
from storage import latest
from tests.builders import make_ticks
from tests.capturing import make_rig
from tickhub import pipeline, publishing, tasks

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.timeout(60)]

_BACKLOG = 100_000
_GROWTH_BYTES_MAX = 4 << 20


def let_wait(count: int, *, due_in_s: int = -1) -> None:
    """Put batches without a tick into the inbox."""
    source_id = make_rig("EURUSD").poller.target.source_id
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ingest_batch (source_id, status, poll_msc, captured_on, tick_count, parts, publish_count,"
            " next_publish_at, failure) SELECT %s, 'WAITING', 0, current_date, 0, '[]', 0,"
            " clock_timestamp() + %s * interval '1 s', '' FROM generate_series(1, %s)",
            [source_id, due_in_s, count],
        )


def make_due() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ingest_batch SET next_publish_at = clock_timestamp() - interval '1 s'")


def published() -> list[int]:
    """The ids of the batches that the sweeper has taken, the oldest first."""
    return list(Batch.objects.filter(publish_count__gt=0).order_by("pk").values_list("pk", flat=True))


def test_a_backlog_of_100000_batches_keeps_valkey_small() -> None:
    let_wait(_BACKLOG)
    before_bytes = int(latest.client().info("memory")["used_memory"])

    for _ in range(5):
        tasks.sweep_inbox()
    publishing.publish_many(list(Batch.objects.order_by("pk").values_list("pk", flat=True)))

    assert publishing.queue_length() == settings.QUEUE_MAX == 1000
    assert int(latest.client().info("memory")["used_memory"]) - before_bytes < _GROWTH_BYTES_MAX
    assert Batch.objects.filter(status="WAITING").count() == _BACKLOG


def test_the_sweeper_takes_the_thousand_oldest_and_none_while_the_queue_is_long() -> None:
    let_wait(3_000)
    oldest = list(Batch.objects.order_by("pk").values_list("pk", flat=True)[:1000])

    tasks.sweep_inbox()
    first = published()
    tasks.sweep_inbox()

    assert first == published() == oldest


def test_the_sweeper_takes_no_more_than_the_queue_has_room_for() -> None:
    let_wait(3_000)
    publishing.publish_many(list(range(1, 991)))

    tasks.sweep_inbox()

    assert publishing.queue_length() == 1000
    assert len(published()) == 10


def test_a_batch_waits_twice_as_long_for_each_further_publication_and_five_minutes_at_most() -> None:
    let_wait(1)
    waits = []

    for _ in range(7):
        make_due()
        tasks.sweep_inbox()
        with connection.cursor() as cursor:
            cursor.execute("SELECT round(extract(epoch FROM next_publish_at - clock_timestamp())) FROM ingest_batch")
            waits.append(int(cursor.fetchone()[0]))

    assert waits == [10, 20, 40, 80, 160, 300, 300]


def test_a_batch_whose_turn_has_not_come_is_not_published() -> None:
    let_wait(3, due_in_s=60)

    tasks.sweep_inbox()

    assert publishing.queue_length() == 0


def test_a_message_about_a_batch_that_is_done_stores_the_oldest_waiting_one() -> None:
    rig = make_rig("EURUSD")
    for count in (1, 2, 3):
        rig.terminal.history["EURUSD"] = make_ticks([(n, 1.1, 1.2) for n in range(count)])
        rig.source.now_msc += 10
        rig.poller.poll()
    first, second, third = rig.published
    assert pipeline.process(batch_id=third) == third

    assert pipeline.process(batch_id=third) == first
    assert pipeline.process(batch_id=third) == second
    assert pipeline.process(batch_id=third) is None
