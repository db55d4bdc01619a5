"""Reads of the inbox by period find the batches of that time, however much was captured since."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ingest import queries
from ingest.models import Batch
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tickhub.core.clock import HOUR_MS

pytestmark = pytest.mark.usefixtures("database")

SPAN_MAX_MSC = (1 << 63) - 1


def captured_by_three_polls() -> Rig:
    """Ticks at noon and at five and seven seconds past it, each captured by its own poll."""
    rig = make_rig("EURUSD")
    ticks = make_ticks([(0, 1.0, 1.1), (5_000, 1.0, 1.2), (7_000, 1.0, 1.3)])
    for number, after_ms in enumerate((500, 5_500, 7_500)):
        rig.terminal.history["EURUSD"] = ticks[: number + 1]
        rig.source.now_msc = NOON_MSC + after_ms
        rig.poller.poll()
    return rig


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "found"),
    [(0, 5_000, [0]), (0, 5_001, [0, 5_000]), (5_000, 7_000, [5_000]), (5_001, 7_000, []), (8_000, 6_000, [])],
)
def test_period_holds_its_first_millisecond_and_not_its_last(from_ms: int, to_ms: int, found: list[int]) -> None:
    rig = captured_by_three_polls()

    captured = queries.captured_between(
        source_id=rig.poller.target.source_id, from_msc=NOON_MSC + from_ms, to_msc=NOON_MSC + to_ms
    )

    times = [msc - NOON_MSC for rows in captured.values() for msc in rows.ticks["time_msc"].tolist()]
    assert times == found


def test_read_of_an_old_hour_passes_over_none_of_the_batches_captured_since() -> None:
    rig = captured_by_three_polls()
    source_id, feed_id = rig.poller.target.source_id, rig.feeds["EURUSD"].pk
    names = "source_id, status, poll_msc, captured_at, captured_on, tick_count, parts, next_publish_at"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO ingest_batch ({names}, first_msc, last_msc, publish_count, failure)"
            f" SELECT {names}, first_msc + n * 50, last_msc + n * 50, 0, ''"
            " FROM (SELECT * FROM ingest_batch ORDER BY id LIMIT 1) b, generate_series(72001, 77000) n"
        )
        cursor.execute("ANALYZE ingest_batch")

    with CaptureQueriesContext(connection) as asked:
        hours = queries.captured_hours(
            source_id=source_id, feed_id=feed_id, from_msc=NOON_MSC, to_msc=NOON_MSC + HOUR_MS
        )

    assert [digest.count for digest in hours.values()] == [3]
    assert batches_passed(asked.captured_queries[-1]["sql"]) == 3


def batches_passed(statement: str) -> int:
    """Return how many batches a statement looks at, those included that it then leaves out."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
        answer = cursor.fetchone()[0]
    plan = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
    return sum(passed(node) for node in nodes(plan) if node.get("Relation Name") == "ingest_batch")


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:  # Any: JSON
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


def passed(node: dict[str, Any]) -> int:  # Any: JSON
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int(node["Actual Rows"]) + int(removed)


def test_nonsensical_time_does_not_refuse_a_batch() -> None:
    captured_by_three_polls()

    Batch.objects.update(first_msc=-SPAN_MAX_MSC, last_msc=SPAN_MAX_MSC)

    assert Batch.objects.filter(last_msc=SPAN_MAX_MSC).count() == 3
