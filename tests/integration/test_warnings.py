"""Early warnings of sources: from which figures on they are told, and that they end by themselves."""

import datetime as dt

import pytest
from django.db.models import F

from ingest.models import Batch, ConnectionMinute
from quality.models import Incident
from tests.capturing import make_rig
from tickhub import watching
from tickhub.core import clock
from tickhub.reference.models import Source

pytestmark = pytest.mark.usefixtures("database")

Stretch = tuple[int, int | None]


def batches(*stretches: Stretch, polled_for_min: int = 5) -> int:
    """Let a source have captured batches, evenly in 50 s; ``(how many, stored after ms or not yet)``."""
    source_id = make_rig("EURUSD").poller.target.source_id
    for ago_min in range(polled_for_min):
        polls(polls=1, failed=0, ago_min=ago_min)
    took = [took_ms for count, took_ms in stretches for _ in range(count)]
    for place, took_ms in enumerate(took):
        at = clock.now() - dt.timedelta(seconds=50 - 50 * place / (len(took) + 1))
        stored_at = None if took_ms is None else at + dt.timedelta(milliseconds=took_ms)
        Batch.objects.create(
            source_id=source_id,
            status="WAITING" if took_ms is None else "STORED",
            poll_msc=0,
            captured_at=at,
            captured_on=at.date(),
            stored_at=stored_at,
            tick_count=0,
            parts=[],
            outcome=None if took_ms is None else [],
            next_publish_at=at,
        )
    return source_id


def take(took_ms: int) -> None:
    """Let every batch have taken so long."""
    Batch.objects.update(stored_at=F("captured_at") + dt.timedelta(milliseconds=took_ms))


def polls(*, polls: int, failed: int, ago_min: int) -> None:
    source = Source.objects.get()
    at = clock.now().replace(second=0, microsecond=0) - dt.timedelta(minutes=ago_min)
    ConnectionMinute.objects.create(
        source=source, minute_at=at, polls=polls, polls_ok=polls - failed, link="CONNECTED", circuit="CLOSED"
    )


def test_ticks_stored_late_are_told_with_figures_until_they_are_stored_in_time() -> None:
    # 6 of 100 took longer: the 95th is one of them.
    source_id = batches((94, 20), (6, 501))

    watching.watch()

    told = Incident.objects.get()
    assert (told.cause, told.source_id, told.severity, told.state) == ("LATENCY_HIGH", source_id, "WARNING", "OPEN")
    assert {key: told.evidence[key] for key in ("name", "p95_ms", "expected_ms", "batches", "waiting")} == {
        "name": "hand",
        "p95_ms": 501,
        "expected_ms": 500,
        "batches": 100,
        "waiting": 0,
    }
    assert "workers" in told.evidence["message"]
    take(250)
    watching.watch()
    assert Incident.objects.get().state == "RESOLVED"


def test_a_warning_ends_at_half_of_its_bound_only() -> None:
    batches((100, 501))
    watching.watch()

    states = []
    for took_ms in (500, 251, 250, 251, 500, 501):
        take(took_ms)
        watching.watch()
        states.append([(row.state, row.evidence["p95_ms"]) for row in Incident.objects.order_by("pk")])

    over = ("RESOLVED", 501)
    assert states == 2 * [[("OPEN", 501)]] + 3 * [[over]] + [[over, ("OPEN", 501)]]


def test_a_quiet_minute_opens_and_ends_no_warning() -> None:
    batches((100, 501))
    watching.watch()

    Batch.objects.update(captured_at=clock.now() - dt.timedelta(minutes=2))
    watching.watch()
    batches_left = Batch.objects.order_by("pk").values_list("pk", flat=True)[:19]
    Batch.objects.filter(pk__in=list(batches_left)).update(captured_at=clock.now(), stored_at=clock.now())
    watching.watch()

    assert [(row.state, row.evidence["batches"]) for row in Incident.objects.all()] == [("OPEN", 100)]


def test_batches_that_wait_count_by_their_age() -> None:
    batches((20, 20), (80, None))

    watching.watch()

    told = Incident.objects.get()
    assert (told.cause, told.evidence["waiting"]) == ("LATENCY_HIGH", 80)
    assert 30_000 < told.evidence["p95_ms"] < 50_000


@pytest.mark.parametrize(
    ("stretches", "polled_for_min"),
    [
        pytest.param([(95, 20), (5, 9_000)], 5, id="a twentieth may take longer"),
        pytest.param([(100, 500)], 5, id="at the bound"),
        pytest.param([(19, 9_000)], 5, id="too few to judge"),
        pytest.param([(100, 9_000)], 2, id="just started"),
        pytest.param([], 5, id="none"),
    ],
)
def test_latency_that_is_no_warning(stretches: list[Stretch], polled_for_min: int) -> None:
    batches(*stretches, polled_for_min=polled_for_min)

    watching.watch()

    assert not Incident.objects.exists()


def test_recordings_are_not_late() -> None:
    batches((100, 9_000))
    Source.objects.update(is_replay=True)

    watching.watch()

    assert not Incident.objects.exists()


def test_failures_that_rise_are_told_with_both_shares_until_they_have_gone() -> None:
    make_rig("EURUSD")
    polls(polls=1_000, failed=10, ago_min=30)
    polls(polls=100, failed=7, ago_min=1)
    watching.watch()

    told = Incident.objects.get()
    assert (told.cause, told.severity, told.state) == ("ERROR_RATE_RISING", "WARNING", "OPEN")
    assert {
        key: told.evidence[key] for key in ("failed_percent", "failed_percent_before", "polls", "polls_before")
    } == {
        "failed_percent": 7.0,
        "failed_percent_before": 1.0,
        "polls": 100,
        "polls_before": 1_000,
    }
    assert "READ_FAILED" in told.evidence["message"]
    polls(polls=20, failed=0, ago_min=2)
    watching.watch()
    assert Incident.objects.get().state == "OPEN"
    polls(polls=80, failed=0, ago_min=3)
    watching.watch()
    assert Incident.objects.get().state == "RESOLVED"


def test_a_source_that_is_polled_no_more_keeps_the_warning_of_its_failures() -> None:
    make_rig("EURUSD")
    polls(polls=1_000, failed=10, ago_min=30)
    polls(polls=100, failed=7, ago_min=1)
    watching.watch()

    ConnectionMinute.objects.all().delete()
    watching.watch()

    assert Incident.objects.get(cause="ERROR_RATE_RISING").state == "OPEN"


@pytest.mark.parametrize(
    ("before", "lately"),
    [
        pytest.param((1_000, 10, 30), (100, 6, 1), id="five points more are at the bound"),
        pytest.param((1_000, 500, 30), (100, 52, 1), id="high as before"),
        pytest.param((1_000, 0, 70), (100, 50, 1), id="nothing in the hour before"),
        pytest.param((1_000, 0, 30), (19, 19, 1), id="too few polls"),
        pytest.param((1_000, 0, 30), (1_000, 900, 6), id="not of the last five minutes"),
    ],
)
def test_failures_that_are_no_warning(before: tuple[int, int, int], lately: tuple[int, int, int]) -> None:
    make_rig("EURUSD")
    for count, failed, ago_min in (before, lately):
        polls(polls=count, failed=failed, ago_min=ago_min)

    watching.watch()

    assert not Incident.objects.filter(cause="ERROR_RATE_RISING").exists()
