"""The newest ticks are served with the open incidents of their feed and source, found by one query."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from quality import incidents, lifecycle
from quality.models import Incident
from tests import running
from tests.builders import make_ticks
from tests.capturing import Rig, make_rig

pytestmark = pytest.mark.usefixtures("database")


def captured() -> Rig:
    rig = make_rig("EURUSD", "GBPUSD")
    for symbol in rig.feeds:
        rig.terminal.history[symbol] = make_ticks([(0, 1.1, 1.2)])
    rig.source.now_msc += 10
    rig.poller.poll()
    running.drain()
    return rig


def observe(rig: Rig, cause: str, symbol: str | None = None, *, holds: bool = True) -> None:
    source_id, feed_id = rig.poller.target.source_id, None if symbol is None else rig.feeds[symbol].pk
    incidents.observe(cause=cause, source_id=source_id, feed_id=feed_id, holds=holds, severity="WARNING", evidence={})


def warnings() -> dict[str, Any]:  # Any: JSON
    answer = Client().get("/api/v1/ticks/latest/").json()
    return {code: tick["quality"]["warnings"] for code, tick in answer.items()}


def test_ticks_name_the_open_incidents_of_their_feed_and_source() -> None:
    rig = captured()
    make_rig("USDJPY", name="another")
    assert warnings() == {"EURUSD": [], "GBPUSD": []}

    observe(rig, "STATIONS_DIFFER", "EURUSD")
    observe(rig, "LATENCY_HIGH")
    observe(rig, "CONNECTION_UNSTABLE")
    incidents.observe(
        cause="WRONG_ACCOUNT",
        source_id=make_rig("AUDUSD", name="other").poller.target.source_id,
        feed_id=None,
        holds=True,
        severity="ERROR",
        evidence={},
    )
    incidents.raise_condition(cause="DISK_FULL", evidence={})

    assert warnings() == {
        "EURUSD": ["CONNECTION_UNSTABLE", "LATENCY_HIGH", "STATIONS_DIFFER"],
        "GBPUSD": ["CONNECTION_UNSTABLE", "LATENCY_HIGH"],
    }


def test_what_is_acknowledged_still_warns_and_what_is_resolved_does_not() -> None:
    rig = captured()
    observe(rig, "LATENCY_HIGH")
    observe(rig, "CONNECTION_UNSTABLE")

    lifecycle.acknowledge(incident_ids=[Incident.objects.get(cause="LATENCY_HIGH").pk], actor="operator")
    observe(rig, "CONNECTION_UNSTABLE", holds=False)

    assert warnings()["EURUSD"] == ["LATENCY_HIGH"]


def test_one_query_finds_the_warnings_of_all() -> None:
    rig = captured()
    for cause in ("ONE", "TWO"):
        for symbol in rig.feeds:
            observe(rig, cause, symbol)

    with CaptureQueriesContext(connection) as queries:
        warnings()

    assert len([query for query in queries.captured_queries if "quality_incident" in query["sql"]]) == 1
