"""What waits in the inbox raises one incident for each cause, which is resolved by itself: with hysteresis."""

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from quality.models import Incident
from tests.capturing import make_rig
from tickhub import overflow
from tickhub.core import metrics

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def source_id() -> int:
    return make_rig("EURUSD").poller.target.source_id


def let_wait(source_id: int, count: int, *, ticks: int = 0, age_s: int = 0) -> None:
    """Make exactly so many batches wait."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ingest_batch")
        cursor.execute(
            "INSERT INTO ingest_batch (source_id, status, poll_msc, captured_at, captured_on, tick_count, parts,"
            " publish_count, next_publish_at, failure) SELECT %s, 'WAITING', 0,"
            " clock_timestamp() - %s * interval '1 s', current_date, %s, '[]', 0, clock_timestamp(), ''"
            " FROM generate_series(1, %s)",
            [source_id, age_s, ticks, count],
        )


def incidents() -> list[tuple[str, str]]:
    return [(incident.cause, incident.state) for incident in Incident.objects.order_by("pk")]


def test_waiting_batches_open_one_incident_that_is_resolved_below_half_of_the_mark(
    settings: Settings, source_id: int
) -> None:
    settings.BACKLOG_BATCHES_HIGH = 20
    seen = []

    for count in (20, 21, 30, 11, 10, 9, 15, 21):
        let_wait(source_id, count)
        overflow.watch()
        seen.append(incidents())

    opened = [("BACKLOG_BATCHES", "OPEN")]
    resolved = [("BACKLOG_BATCHES", "RESOLVED")]
    assert seen == [[], opened, opened, opened, opened, resolved, resolved, resolved + opened]


def test_an_acknowledged_incident_is_resolved_too(settings: Settings, source_id: int) -> None:
    settings.BACKLOG_BATCHES_HIGH = 20
    let_wait(source_id, 21)
    overflow.watch()
    Incident.objects.update(state="ACKNOWLEDGED")

    overflow.watch()
    let_wait(source_id, 0)
    overflow.watch()

    assert incidents() == [("BACKLOG_BATCHES", "RESOLVED")]
    assert Incident.objects.get().evidence == {"value": 21, "high": 20, "low": 10.0}


def test_waiting_bytes_and_the_age_of_the_oldest_batch_are_causes_of_their_own(
    settings: Settings, source_id: int
) -> None:
    settings.BACKLOG_MB_HIGH, settings.BACKLOG_AGE_S_HIGH = 1, 60

    # 18,000 ticks of 60 bytes are 1.03 MiB.
    let_wait(source_id, 2, ticks=9_000, age_s=61)
    overflow.watch()

    assert incidents() == [("BACKLOG_BYTES", "OPEN"), ("BACKLOG_AGE", "OPEN")]
    assert metrics.BACKLOG_BYTES._value.get() == 1_080_000
    assert 61 <= metrics.BACKLOG_AGE_SECONDS._value.get() < 90


def test_nothing_is_opened_where_little_waits(source_id: int) -> None:
    let_wait(source_id, 100, ticks=10)

    overflow.watch()

    assert incidents() == []
