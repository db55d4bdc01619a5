"""Gaps on the real database: found by the hour, asked for again, filled, and told while too much is missing."""

import datetime as dt
from collections.abc import Collection
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from ingest.backfill import Backfiller
from ingest.models import Backfill, ConnectionMinute
from quality import due_hours
from quality.models import FeedHour, Gap, Incident
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tickhub import examining, filling
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS, MINUTE_MS
from tickhub.core.ticks import Ticks
from tickhub.reference.models import Source

pytestmark = pytest.mark.usefixtures("database")

NOON_HOUR = NOON_MSC // HOUR_MS
EVERY_HALF_MINUTE = [half / 2 for half in range(3 * 120 + 2)]


def quotes(minutes: list[float]) -> Ticks:
    return make_ticks([(int(minute * MINUTE_MS), 1.1, 1.2) for minute in minutes])


def without(begin: float, end: float) -> list[float]:
    """Every half minute of three hours, without those between two minutes."""
    return [minute for minute in EVERY_HALF_MINUTE if not begin < minute < end]


def connect(rig: Rig, *, lost: Collection[int] = (), uncaptured: Collection[int] = ()) -> None:
    """Note the connection of each minute from before noon on."""
    for minute in range(-1, 3 * 60 + 2):
        if minute not in uncaptured:
            ConnectionMinute.objects.create(
                source_id=rig.poller.target.source_id,
                minute_at=clock.to_datetime(NOON_MSC) + dt.timedelta(minutes=minute),
                **{"ipc_lost_ms" if minute in lost else "connected_ms": MINUTE_MS},
                link="CONNECTED",
                circuit="CLOSED",
            )


def poll(rig: Rig, **minutes: list[float]) -> None:
    """Capture, store and examine three hours of ticks of each symbol."""
    for symbol, own in minutes.items():
        rig.terminal.history[symbol] = quotes(own)
    # The first poll's tail holds all it read; after the second it holds the last seconds.
    for after_ms in (0, 1000):
        rig.source.now_msc = NOON_MSC + 3 * HOUR_MS + MINUTE_MS + after_ms
        rig.poller.poll()
    running.drain()
    while examining.examine():
        pass


def gaps(**filters: str) -> list[tuple[str, float, float, str]]:
    rows = Gap.objects.filter(**filters).order_by("feed__symbol", "from_msc")
    return [
        (symbol, (low - NOON_MSC) / MINUTE_MS, (high - NOON_MSC) / MINUTE_MS, kind)
        for symbol, low, high, kind in rows.values_list("feed__symbol", "from_msc", "to_msc", "kind")
    ]


def missing_minutes(symbol: str) -> list[float]:
    rows = FeedHour.objects.filter(feed__symbol=symbol).order_by("hour")
    return [missing_ms / MINUTE_MS for missing_ms in rows.values_list("missing_ms", flat=True)]


def ask(**query: str) -> Any:  # Any: JSON
    return Client().get("/api/v1/quality/gaps/", query).json()


def test_a_dead_feed_among_live_ones_is_told_by_the_hour() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)

    poll(rig, EURUSD=without(30, 100), GBPUSD=EVERY_HALF_MINUTE)

    assert gaps() == [("EURUSD", 30, 60, "STALLED"), ("EURUSD", 60, 100, "STALLED")]
    assert missing_minutes("EURUSD") == [30, 40, 0]
    assert missing_minutes("GBPUSD") == [0, 0, 0]


def test_a_dead_terminal_one_that_nobody_captured_and_a_quiet_market_are_told_apart() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig, lost=[*range(10, 15), *range(55, 60)], uncaptured=range(70, 75))
    silent = ((9, 16), (54.5, 61), (69, 76), (130, 140))
    times = [minute for minute in EVERY_HALF_MINUTE if not any(low < minute < high for low, high in silent)]

    poll(rig, EURUSD=times, GBPUSD=times)

    # The minute before and the one behind, of which a connection is noted, are within what is normal; that in the
    # second hour, too, as the silence before it was lost.
    assert [gap for gap in gaps() if gap[0] == "EURUSD"] == [
        ("EURUSD", 10, 15, "DISCONNECTED"),
        ("EURUSD", 55, 60, "DISCONNECTED"),
        ("EURUSD", 70, 75, "DISCONNECTED"),
        ("EURUSD", 130, 140, "QUIET"),
    ]
    causes = Gap.objects.filter(kind="DISCONNECTED", feed__symbol="EURUSD").order_by("from_msc")
    assert list(causes.values_list("cause", flat=True)) == [
        "the terminal does not answer",
        "the terminal does not answer",
        "nobody captured the source",
    ]
    assert missing_minutes("EURUSD") == [10, 5, 0]


def test_what_stalled_is_asked_for_once_found_and_then_no_longer_missing() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    poll(rig, EURUSD=without(30, 110), GBPUSD=EVERY_HALF_MINUTE)

    filling.fill()
    filling.fill()

    asked = Backfill.objects.get()
    assert (asked.from_msc, asked.to_msc) == (NOON_MSC + 25 * MINUTE_MS, NOON_MSC + 110 * MINUTE_MS)
    assert set(Gap.objects.values_list("backfill_id", flat=True)) == {asked.pk}
    incident = Incident.objects.get(cause="INCOMPLETE")
    assert (incident.feed, incident.severity, incident.state) == (rig.feeds["EURUSD"], "WARNING", "OPEN")
    # Eighty minutes of a day of trade of 24 hours, that from Sunday to Monday, 17:00 in New York.
    assert incident.evidence["missing_s"] == 80 * 60
    assert incident.evidence["worst"] == ["2026-03-01T22:00:00.000Z", "2026-03-02T22:00:00.000Z"]

    rig.terminal.history["EURUSD"] = quotes(EVERY_HALF_MINUTE)
    Backfiller(rig.poller).run()
    running.drain()
    examining.examine()
    filling.fill()

    assert gaps(state="OPEN") == []
    assert gaps(state="FILLED") == [("EURUSD", 30, 60, "STALLED"), ("EURUSD", 60, 110, "STALLED")]
    assert missing_minutes("EURUSD") == [0, 0, 0]
    assert Incident.objects.get(cause="INCOMPLETE").state == "RESOLVED"
    assert Backfill.objects.count() == 1


def test_less_than_a_twentieth_of_the_session_is_no_incident() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    poll(rig, EURUSD=without(30, 100), GBPUSD=EVERY_HALF_MINUTE)

    filling.fill()

    assert not Incident.objects.filter(cause="INCOMPLETE").exists()


def test_of_a_recording_nothing_is_asked_for_and_no_incident_made() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    Source.objects.update(is_replay=True)
    poll(rig, EURUSD=without(30, 140), GBPUSD=EVERY_HALF_MINUTE)

    filling.fill()

    assert {kind for *_, kind in gaps()} == {"STALLED"}
    assert (Backfill.objects.count(), Incident.objects.count()) == (0, 0)


def test_hours_examined_twice_are_the_same() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    poll(rig, EURUSD=without(30, 100), GBPUSD=EVERY_HALF_MINUTE)
    before = (list(Gap.objects.order_by("pk").values()), list(FeedHour.objects.order_by("pk").values()))

    with transaction.atomic():
        due_hours.note(
            due_hours.EXAMINE, source_id=Source.objects.get().pk, feed_ids=None, hours=[(NOON_HOUR, NOON_HOUR + 3)]
        )
    assert examining.examine() == 3

    assert (list(Gap.objects.order_by("pk").values()), list(FeedHour.objects.order_by("pk").values())) == before


def test_the_api_joins_the_stretches_and_divides_the_completeness() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    connect(rig)
    poll(rig, EURUSD=without(30, 100), GBPUSD=EVERY_HALF_MINUTE)
    period = {"instrument": "EURUSD", "start": "2026-03-02T12:00Z", "end": "2026-03-02T15:00Z"}

    (found,) = ask(**period)
    (by_hour,) = ask(**period, parts="hour")
    (by_session,) = ask(**period, parts="session")

    assert found["gaps"] == [
        {
            "start": "2026-03-02T12:30:00.000Z",
            "end": "2026-03-02T13:40:00.000Z",
            "kind": "stalled",
            "cause": "1 of 1 other feeds of the source were live",
            "state": "open",
            "backfill": None,
        }
    ]
    assert found["completeness"] == pytest.approx(110 / 180)
    assert found["examined_to"] == "2026-03-02T15:00:00.000Z"
    assert found["calendar"] == "fx:1"
    assert [part["completeness"] for part in by_hour["parts"]] == pytest.approx([1 / 2, 1 / 3, 1])
    assert [part["missing_s"] for part in by_session["parts"]] == [70 * 60]
    assert by_session["parts"][0]["end"] == "2026-03-02T22:00:00.000Z"


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ({}, 400, "instrument= is missing"),
        ({"instrument": "X", "start": "soon"}, 400, "start=soon: expected ISO 8601"),
        ({"instrument": "X", "parts": "week"}, 400, "parts=week: expected one of hour, session, day"),
        (
            {"instrument": "X", "start": "2026-01-01", "end": "2026-03-01"},
            400,
            "period 2026-01-01T00:00:00.000Z to 2026-03-01T00:00:00.000Z: expected one of at most 31 days",
        ),
        ({"instrument": "X", "start": "2026-01-01", "end": "2026-01-01"}, 400, "start 2026-01-01 is not before end"),
        ({"instrument": "X"}, 404, "instrument not known: X"),
    ],
)
def test_what_the_api_cannot_answer_it_says_in_one_line(query: dict[str, str], status: int, detail: str) -> None:
    answer = Client().get("/api/v1/quality/gaps/", query)

    assert answer.status_code == status
    assert detail in answer.json()["detail"]
