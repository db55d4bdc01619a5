"""Scores by REST, of ticks as they are stored, held, late and missing."""

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from quality.models import FeedHour
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import make_rig
from tests.piping import NAN, capture
from tickhub.core.clock import HOUR_MS
from tickhub.reference.models import Feed

pytestmark = pytest.mark.usefixtures("database")

ADDRESS = "/api/v1/quality/scores/"


def test_a_feeds_hours_and_their_sum_are_scored() -> None:
    rig = make_rig("EURUSD")
    capture(rig, make_ticks([(0, 1.1, 1.2), (5, NAN, 1.2), (9, 1.3, 1.2), (HOUR_MS, 1.1, 1.2)]))
    running.drain()
    feed = rig.feeds["EURUSD"]
    FeedHour.objects.create(
        feed=feed, hour=NOON_MSC // HOUR_MS, ticks=2, session_ms=HOUR_MS, missing_ms=HOUR_MS // 4, usual_gap_ms=None
    )

    answer = Client().get(f"{ADDRESS}?instrument=EURUSD&start={NOON_MSC}&end={NOON_MSC + 2 * HOUR_MS}").json()

    (found,) = answer["feeds"]
    first, second = found["hours"]
    # Of three ticks one is held and one crossed.
    assert first["parts"] == {
        "completeness": 0.75,
        "validity": 0.333333,
        "timeliness": 1.0,
        "uniqueness": 1.0,
        "agreement": None,
    }
    assert first["score"] == 70.0
    assert second["parts"] == {
        "completeness": None,
        "validity": 1.0,
        "timeliness": 1.0,
        "uniqueness": 1.0,
        "agreement": None,
    }
    assert found["counts"]["stored"] == 3
    assert (found["counts"]["held"], found["counts"]["invalid"], found["counts"]["session_ms"]) == (1, 1, HOUR_MS)


def test_a_late_tick_lowers_timeliness() -> None:
    rig = make_rig("EURUSD")
    shown = make_ticks([(0, 1.1, 1.2), (500, 1.1, 1.2)])
    capture(rig, shown)
    rig.source.now_msc += 1000
    late = np.sort(np.concatenate([shown, make_ticks([(7, 1.1, 1.25)])]), order="time_msc")
    rig.terminal.history["EURUSD"] = late
    rig.poller.poll()
    running.drain()

    (found,) = Client().get(f"{ADDRESS}?instrument=EURUSD&start={NOON_MSC}&end={NOON_MSC + 1}").json()["feeds"]

    assert found["parts"]["timeliness"] == 0.666667


def test_what_batches_say_is_read_once_for_all_feeds_of_a_source() -> None:
    rig = make_rig("EURUSD", "EURUSD.m")
    Feed.objects.update(instrument=rig.feeds["EURUSD"].instrument)
    for symbol in ("EURUSD", "EURUSD.m"):
        rig.terminal.history[symbol] = make_ticks([(0, 1.1, 1.2), (5, NAN, 1.2)])
    rig.poller.poll()
    running.drain()

    with CaptureQueriesContext(connection) as captured:
        answer = Client().get(f"{ADDRESS}?instrument=EURUSD&start={NOON_MSC}&end={NOON_MSC + HOUR_MS}").json()

    assert [found["counts"]["held"] for found in answer["feeds"]] == [1, 1]
    # The held ticks, and the duplicates.
    assert sum("jsonb_array_elements" in query["sql"] for query in captured.captured_queries) == 2


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("", 400, "instrument= is missing"),
        ("instrument=XAUUSD", 404, "instrument not known: XAUUSD"),
        ("instrument=EURUSD&start=2026-03-01&end=2026-03-20", 400, "period 2026-03-01T00:00:00.000Z to"),
        ("instrument=EURUSD&start=soon", 400, "start=soon: expected ISO 8601"),
    ],
)
def test_a_question_that_cannot_be_answered_is_told_in_one_line(query: str, status: int, detail: str) -> None:
    answer = Client().get(f"{ADDRESS}?{query}")

    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail)
