"""Whether a source's configured clock fits the times at which its ticks arrive, as its minutes say."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from ingest.connections import ConnectionLog
from ingest.models import ConnectionMinute
from ingest.sources.terminal import Health
from quality.models import Incident
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import make_rig
from tickhub import capturing, clockwatch
from tickhub.core import clock
from tickhub.polling import Ending

pytestmark = pytest.mark.usefixtures("database")

HOUR_MS, MINUTE_MS = 3_600_000, 60_000


def minutes(source_id: int, *ages: tuple[int, int], since: int = 1) -> None:
    """Minutes with smallest and median age, the newest first."""
    for number, (smallest_ms, median_ms) in enumerate(ages):
        ConnectionMinute.objects.update_or_create(
            source_id=source_id,
            minute_at=clock.now() - dt.timedelta(minutes=since + number),
            link="CONNECTED",
            circuit="CLOSED",
            polls_with_ticks=100,
            smallest_age_ms=smallest_ms,
            median_age_ms=median_ms,
        )


def states() -> dict[str, str]:
    return dict(Incident.objects.values_list("cause", "state"))


def test_minute_keeps_smallest_and_median_age_and_counts_polls_with_ticks() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    log = ConnectionLog(source_id=source_id, name="hand")

    for age_ms in (900, None, 20, 40, None):
        log.note(Health(), is_ok=True, answers=True, age_ms=age_ms)
    log.write()
    log.note(Health(), is_ok=True, answers=True, age_ms=-5)
    log.write()

    rows = ConnectionMinute.objects.exclude(smallest_age_ms=None)
    assert sum(row.polls_with_ticks for row in rows) == 4
    assert min(row.smallest_age_ms or 0 for row in rows) == -5


def test_age_is_that_of_the_newest_new_tick_that_is_not_late() -> None:
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.0, 1.1), (4000, 1.0, 1.1)])
    rig.source.now_msc = NOON_MSC + 4_250
    rig.poller.poll()
    first_ms = rig.poller.age_ms
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.0, 1.1), (3000, 1.0, 1.2), (4000, 1.0, 1.1)])
    rig.source.now_msc = NOON_MSC + 6_000
    rig.poller.poll()

    assert (first_ms, rig.poller.age_ms, rig.poller.captured) == (250, None, 3)


def test_clock_that_is_an_hour_behind_what_was_configured_is_told_with_the_likely_offset() -> None:
    source_id = make_rig("EURUSD", offset_ms=3 * HOUR_MS).poller.target.source_id
    minutes(source_id, *[(HOUR_MS + 40, HOUR_MS + 700)] * 10)

    clockwatch.watch()

    incident = Incident.objects.get()
    assert (incident.cause, incident.state, incident.severity) == ("CLOCK_MISMATCH", "OPEN", "ERROR")
    assert incident.evidence["likely_offset"] == "+02:00"
    assert incident.evidence["configured_offset"] == "+03:00"
    assert incident.evidence["smallest_age_ms"] == HOUR_MS + 40
    assert "correct_clock --source hand" in incident.evidence["message"]


def test_ticks_of_the_future_are_told_and_the_incidents_resolve_themselves() -> None:
    source_id = make_rig("EURUSD", offset_ms=2 * HOUR_MS).poller.target.source_id
    minutes(source_id, *[(-HOUR_MS - 900, -HOUR_MS + 300)] * 10, since=2)
    clockwatch.watch()
    assert states() == {"CLOCK_AHEAD": "OPEN", "CLOCK_MISMATCH": "OPEN"}
    assert Incident.objects.get(cause="CLOCK_AHEAD").evidence["likely_offset"] == "+03:00"

    minutes(source_id, (20, 60))
    clockwatch.watch()

    assert states() == {"CLOCK_AHEAD": "RESOLVED", "CLOCK_MISMATCH": "RESOLVED"}


@pytest.mark.parametrize(
    "ages",
    [
        pytest.param([(800, 30_000)] * 12, id="quiet market: few ticks, each soon after it was made"),
        pytest.param([(30, 90)] + [(2 * HOUR_MS, 3 * HOUR_MS)] * 12, id="catch-up after an outage, over"),
        pytest.param([(2 * HOUR_MS, 3 * HOUR_MS)] * 9, id="too few minutes to judge"),
        pytest.param([(-900, 20)] * 12, id="within the tolerance of the future"),
        pytest.param([(-HOUR_MS, 40)] * 2 + [(30, 40)] * 10, id="a bad tick or two"),
        pytest.param([(14 * MINUTE_MS, 20 * MINUTE_MS)] * 12, id="less than a quarter of an hour"),
        pytest.param([], id="nothing known"),
    ],
)
def test_what_says_nothing_of_the_clock_alarms_nobody(ages: list[tuple[int, int]]) -> None:
    minutes(make_rig("EURUSD").poller.target.source_id, *ages)

    clockwatch.watch()

    assert states() == {}


def test_incident_stays_while_nothing_new_is_known() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    minutes(source_id, *[(HOUR_MS, HOUR_MS)] * 10)
    clockwatch.watch()
    ConnectionMinute.objects.all().delete()

    clockwatch.watch()

    assert states() == {"CLOCK_MISMATCH": "OPEN"}


@pytest.mark.parametrize(("speed", "is_kept"), [("1", True), ("max", False)])
def test_only_what_is_played_in_real_time_is_evidence(speed: str, is_kept: bool, tmp_path: Path) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(i * 20, 1.0 + i / 1e5, 1.1) for i in range(5000)]))
    capturing.run(
        f"replay:{tmp_path / 'EURUSD.npz'}?symbol=EURUSD&name=r&speed={speed}",
        ending=Ending(until_drained=speed == "max", for_s=1.0),
        origin_msc=None,
        should_stop=lambda: False,
        publish=lambda _: None,
    )

    rows = ConnectionMinute.objects.exclude(smallest_age_ms=None)
    assert rows.exists() == is_kept
    assert all(0 <= (row.smallest_age_ms or 0) <= 1_000 for row in rows)
