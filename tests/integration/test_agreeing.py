"""Feeds of one instrument are compared hour by hour: scored, told of while they disagree, and again when ticks come."""

from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from quality import due_hours, thresholds
from quality.models import FeedAgreement, Incident, Threshold
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tickhub import agreeing, examining, judging
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS
from tickhub.reference.models import Source

pytestmark = pytest.mark.usefixtures("database")

NOON_HOUR = NOON_MSC // HOUR_MS


def source(name: str, *, priority: int, off_points: dict[int, int]) -> Rig:
    """A source with a tick each second of two hours' first minute, and one behind; from some hour on so far off."""
    rig = make_rig("EURUSD", name=name)
    Source.objects.filter(name=name).update(priority=priority)
    rows = [(2 * HOUR_MS, 1.1, 1.1002)]
    for hour in (0, 1):
        off = off_points.get(hour, 0) / 1e5
        rows += [(hour * HOUR_MS + second * 1000, 1.1 + off, 1.1002 + off) for second in range(60)]
    rig.terminal.history["EURUSD"] = make_ticks(sorted(rows))
    rig.source.now_msc = NOON_MSC + 2 * HOUR_MS
    rig.poller.poll()
    running.drain()
    return rig


def compare() -> int:
    examining.examine()
    return agreeing.compare(until_s=clock.monotonic_s() + 60)


def scores() -> dict[str, dict[str, Any]]:  # Any: JSON
    query = {"instrument": "EURUSD", "start": str(NOON_MSC), "end": str(NOON_MSC + 2 * HOUR_MS)}
    answer = Client().get("/api/v1/quality/scores/", query).json()
    return {feed["source"]: feed for feed in answer["feeds"]}


def test_feeds_that_agree_are_scored_so_and_compared_once() -> None:
    source("first", priority=1, off_points={})
    source("second", priority=2, off_points={})

    assert (compare(), compare()) == (2, 0)

    rows = FeedAgreement.objects.order_by("hour")
    assert [(row.hour - NOON_HOUR, row.compared_s, row.disagreeing_s) for row in rows] == [(0, 60, 0), (1, 60, 0)]
    assert {name: feed["parts"]["agreement"] for name, feed in scores().items()} == {"first": 1.0, "second": 1.0}
    assert not Incident.objects.filter(cause="DISAGREES").exists()


def test_feeds_that_disagree_make_one_incident_of_the_one_that_is_preferred_less() -> None:
    source("backup", priority=7, off_points={1: 200})
    source("primary", priority=1, off_points={})

    compare()

    incident = Incident.objects.get(cause="DISAGREES")
    assert incident.source is not None
    assert (incident.source.name, incident.severity, incident.state) == ("backup", "WARNING", "OPEN")
    told = incident.evidence
    assert (told["name"], told["compared_s"], told["disagreeing_s"]) == ("primary", 60, 60)
    assert told["worst_points"] == pytest.approx(200)
    assert told["first"]["time_msc"] == NOON_MSC + HOUR_MS
    assert scores()["backup"]["parts"]["agreement"] == 0.5


def test_an_hour_that_is_examined_again_is_compared_again_and_the_incident_ends() -> None:
    backup = source("backup", priority=7, off_points={1: 200})
    source("primary", priority=1, off_points={})
    compare()
    with transaction.atomic():
        due_hours.note(
            due_hours.EXAMINE,
            source_id=backup.poller.target.source_id,
            feed_ids=None,
            hours=[(NOON_HOUR, NOON_HOUR + 2)],
        )
        threshold = Threshold(name="DISAGREE_FLOOR_POINTS", value=500, effect="SET", reason="a test")
        thresholds.append(threshold=threshold, actor="operator")
    judging.forget()

    assert compare() == 2

    assert not FeedAgreement.objects.exclude(disagreeing_s=0).exists()
    assert Incident.objects.get(cause="DISAGREES").state == "RESOLVED"


def test_with_the_check_off_nothing_is_told_and_scored() -> None:
    source("backup", priority=7, off_points={1: 200})
    source("primary", priority=1, off_points={})
    with transaction.atomic():
        threshold = Threshold(name="DISAGREE_FACTOR", effect="OFF", reason="a test")
        thresholds.append(threshold=threshold, actor="operator")
    judging.forget()

    compare()

    assert FeedAgreement.objects.filter(band_points=None).count() == 2
    assert not Incident.objects.filter(cause="DISAGREES").exists()
    assert scores()["backup"]["parts"]["agreement"] is None
