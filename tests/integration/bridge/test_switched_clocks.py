"""Both switches of a broker's clock seven hours ahead of New York, through an agent and a bridge.

The expected UTC times are those that the recording was made from, not what the product makes of its wall clock.
"""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from django.db import connection

from ingest import backfill
from ingest.agent import link, running
from ingest.agent.conversation import Way
from ingest.sources import spec as specs
from tests import running as pipeline
from tests.integration.bridge.conftest import Desk
from tests.integration.embedded.conftest import wait_for
from tests.integration.test_clocks import (
    AUTUMN_MSC,
    HOUR_MS,
    MINUTE_MS,
    SPRING_MSC,
    flagged,
    record,
    stored,
    ticks_at,
    times,
)
from tests.oracle import compare_export
from tickhub import exporting, reconcile
from tickhub.core import clock
from tickhub.core.flags import Flag
from tickhub.core.ticks import Int64s
from tickhub.management.periods import EVER
from tickhub.reconcile import Scope
from tickhub.reference import queries as reference
from tickhub.reference.models import UnsurePass

pytestmark = pytest.mark.usefixtures("database")

AUTUMN = (AUTUMN_MSC, (3, 2))
SPRING = (SPRING_MSC, (2, 3))


def send(
    desk: Desk, folder: Path, spec: str, *, is_done: Callable[[], bool] | None = None, page_ticks: int = 65_536
) -> None:
    """Run an agent until its recording is played, or until a condition holds."""
    (folder / "token").write_text(desk.token)
    begun_s = clock.monotonic_s()
    running.run(
        specs.parse(spec),
        link.address(desk.bridge.url, folder / "token", ca_file=None, allows_plain=False),
        Way(
            interval_s=0.01,
            page_ticks=page_ticks,
            until_drained=is_done is None,
            should_stop=lambda: clock.monotonic_s() - begun_s > 15 or (is_done is not None and is_done()),
        ),
    )
    assert wait_for(desk.is_left, within_s=10)


def send_at(desk: Desk, folder: Path, spec: str, shown_msc: Int64s, now_msc: int, *, page_ticks: int = 65_536) -> None:
    """Let an agent whose terminal was started long ago send what that has by a UTC instant, and stop."""
    expected = int(np.count_nonzero(shown_msc <= now_msc))
    at = f"{spec}&speed=1&start={now_msc}"
    send(desk, folder, at, is_done=lambda: desk.captured() >= expected, page_ticks=page_ticks)
    assert desk.captured() >= expected


def assert_complete(folder: Path, utc: Int64s | None) -> None:
    """Nothing lost, nothing twice, by the oracle on 60-byte records; each price at the UTC time it was made from."""
    pipeline.drain()
    out = folder / "export.npz"
    feed = reference.one_feed(symbol="BTCUSD", source=None)
    exporting.export(feed=feed, from_msc=EVER[0], to_msc=EVER[1], with_quarantined=True, out=out)
    assert compare_export.compare(compare_export.load(out), compare_export.load(folder / "BTCUSD.npz")) == (0, 0)
    if utc is not None:
        found = stored()
        made_at = utc[np.rint((found["bid"] - 60_000) * 100).astype(np.int64)]
        assert found["time_msc"].tolist() == made_at.tolist() == sorted(utc.tolist())


@pytest.mark.parametrize("speed", ["max", "9600"])
@pytest.mark.parametrize(("switch_msc", "hours"), [AUTUMN, SPRING])
def test_a_recording_across_the_switch_is_stored_whole_and_in_utc(
    broker: Desk, switch_msc: int, hours: tuple[int, int], speed: str, tmp_path: Path
) -> None:
    utc = times(switch_msc)
    spec = record(tmp_path, ticks_at(utc, switch_msc, *hours))

    send(broker, tmp_path, f"{spec}&speed={speed}")

    # In the terminal's time a moment of this machine's is an hour at that speed: an outage over the switch.
    is_in_time = speed == "max"
    assert_complete(tmp_path, utc if is_in_time else None)
    if is_in_time:
        assert flagged(Flag.AMBIGUOUS_TIME) == []
        assert flagged(Flag.LATE) == []
    assert broker.missing() == 0


def test_connections_in_the_midst_of_the_repeated_hour_go_on_in_its_pass(broker: Desk, tmp_path: Path) -> None:
    utc = times(AUTUMN_MSC)
    spec = record(tmp_path, ticks_at(utc, AUTUMN_MSC, 3, 2))

    for minute in (-61, -1, 4, 34):
        send_at(broker, tmp_path, spec, utc, AUTUMN_MSC + minute * MINUTE_MS)
    send(broker, tmp_path, f"{spec}&speed=max")

    assert_complete(tmp_path, utc)
    assert flagged(Flag.AMBIGUOUS_TIME) == []


def test_an_outage_over_the_switch_leaves_only_what_cannot_be_told_marked(broker: Desk, tmp_path: Path) -> None:
    utc = times(AUTUMN_MSC)
    spec = record(tmp_path, ticks_at(utc, AUTUMN_MSC, 3, 2))

    send_at(broker, tmp_path, spec, utc, AUTUMN_MSC - 40 * MINUTE_MS)
    send_at(broker, tmp_path, spec, utc, AUTUMN_MSC + 90 * MINUTE_MS)
    send(broker, tmp_path, f"{spec}&speed=max")

    assert_complete(tmp_path, None)
    # The first pass was captured for 20 minutes: the other 40 minutes of the hour may be of either pass.
    unsure = flagged(Flag.AMBIGUOUS_TIME)
    expected = np.count_nonzero((utc > AUTUMN_MSC - 40 * MINUTE_MS) & (utc < AUTUMN_MSC)) + np.count_nonzero(
        (utc >= AUTUMN_MSC + 20 * MINUTE_MS) & (utc < AUTUMN_MSC + HOUR_MS)
    )
    assert abs(len(unsure) - expected) <= 2
    assert min(unsure) >= AUTUMN_MSC + 19 * MINUTE_MS
    assert max(unsure) < AUTUMN_MSC + HOUR_MS
    unread = UnsurePass.objects.get(epoch__source__name="broker", epoch__starts_msc=AUTUMN_MSC)
    assert unread.to_msc == AUTUMN_MSC + 3 * HOUR_MS


def test_an_outage_over_the_spring_switch_costs_nothing(broker: Desk, tmp_path: Path) -> None:
    utc = times(SPRING_MSC)
    spec = record(tmp_path, ticks_at(utc, SPRING_MSC, 2, 3))

    send_at(broker, tmp_path, spec, utc, SPRING_MSC - 40 * MINUTE_MS)
    send_at(broker, tmp_path, spec, utc, SPRING_MSC + 90 * MINUTE_MS)
    send(broker, tmp_path, f"{spec}&speed=max")

    assert_complete(tmp_path, utc)


def test_a_backlog_of_many_frames_is_sent_to_its_end_before_the_next_epoch_begins(broker: Desk, tmp_path: Path) -> None:
    utc = times(AUTUMN_MSC)
    spec = record(tmp_path, ticks_at(utc, AUTUMN_MSC, 3, 2))

    send_at(broker, tmp_path, spec, utc, AUTUMN_MSC - 115 * MINUTE_MS)
    send_at(broker, tmp_path, spec, utc, AUTUMN_MSC + 90 * MINUTE_MS, page_ticks=100)

    send(broker, tmp_path, f"{spec}&speed=max")
    assert_complete(tmp_path, None)


def test_an_outage_within_the_first_pass_is_told_apart_when_the_agent_is_back_soon(
    broker: Desk, tmp_path: Path
) -> None:
    utc = times(AUTUMN_MSC)
    spec = record(tmp_path, ticks_at(utc, AUTUMN_MSC, 3, 2))

    send_at(broker, tmp_path, spec, utc, AUTUMN_MSC - 30 * MINUTE_MS)
    # Ten minutes into the second pass: what lies further ahead can only be of the first.
    send_at(broker, tmp_path, spec, utc, AUTUMN_MSC + 10 * MINUTE_MS)
    send(broker, tmp_path, f"{spec}&speed=max")

    assert_complete(tmp_path, utc)
    assert flagged(Flag.AMBIGUOUS_TIME) == []


def test_a_row_that_arrives_late_after_the_switch_goes_to_its_own_pass_or_is_marked(
    broker: Desk, tmp_path: Path
) -> None:
    utc = times(AUTUMN_MSC)
    wall = ticks_at(utc, AUTUMN_MSC, 3, 2)
    # Made 20 minutes before the switch, arrives 5 minutes after it: 08:40 on a clock that shows 08:05.
    made = int(np.searchsorted(utc, AUTUMN_MSC - 20 * MINUTE_MS))
    arrives = int(np.searchsorted(utc, AUTUMN_MSC + 5 * MINUTE_MS))
    order = np.concatenate([np.delete(np.arange(len(utc)), made)[: arrives - 1], [made], np.arange(arrives, len(utc))])
    spec = record(tmp_path, wall[order])

    shown = np.maximum.accumulate(utc[order])
    # The recording's own order tells no more than that it arrived before 08:40 of the second pass was over.
    for minute in (-1, 4, 45, 70):
        send_at(broker, tmp_path, spec, shown, AUTUMN_MSC + minute * MINUTE_MS)
    send(broker, tmp_path, f"{spec}&speed=max")

    assert_complete(tmp_path, None)
    late = flagged(Flag.LATE)
    assert late in ([int(utc[made])], flagged(Flag.AMBIGUOUS_TIME))


def test_a_row_of_the_epoch_before_that_arrives_after_the_spring_switch_is_captured_in_it(
    broker: Desk, tmp_path: Path
) -> None:
    utc = times(SPRING_MSC)
    wall = ticks_at(utc, SPRING_MSC, 2, 3)
    made = int(np.searchsorted(utc, SPRING_MSC - 20 * MINUTE_MS))
    arrives = int(np.searchsorted(utc, SPRING_MSC + 5 * MINUTE_MS))
    order = np.concatenate([np.delete(np.arange(len(utc)), made)[: arrives - 1], [made], np.arange(arrives, len(utc))])
    spec = record(tmp_path, wall[order])

    shown = np.maximum.accumulate(utc[order])
    for minute in (-1, 4, 6):
        send_at(broker, tmp_path, spec, shown, SPRING_MSC + minute * MINUTE_MS)
    send(broker, tmp_path, f"{spec}&speed=max")

    assert_complete(tmp_path, utc)
    assert flagged(Flag.LATE) == [int(utc[made])]


def test_reconcile_asks_an_agent_of_every_epoch_and_finds_nothing_lost(broker: Desk, tmp_path: Path) -> None:
    utc = times(AUTUMN_MSC)
    spec = record(tmp_path, ticks_at(utc, AUTUMN_MSC, 3, 2))
    send(broker, tmp_path, f"{spec}&speed=max")
    pipeline.drain()
    found: list[reconcile.Report] = []

    def ask() -> None:
        assert wait_for(lambda: not broker.is_left(), within_s=10)
        found.append(reconcile.reconcile(Scope(is_deep=True)))
        connection.close()

    asking = threading.Thread(target=ask)
    asking.start()
    send(broker, tmp_path, f"{spec}&speed=1&start={utc[-1]}", is_done=lambda: not asking.is_alive())
    asking.join()

    (report,) = found
    assert (report.captured, report.lost, report.stored_twice) == (len(utc), 0, 0)
    assert (report.differences, report.unavailable) == ([], [])


def test_a_backfill_of_an_earlier_epoch_is_read_in_its_own_clock(broker: Desk, tmp_path: Path) -> None:
    utc = times(AUTUMN_MSC)
    wall = ticks_at(utc, AUTUMN_MSC, 3, 2)
    begins_msc = AUTUMN_MSC - 100 * MINUTE_MS
    spec = record(tmp_path, wall)
    send(broker, tmp_path, f"{spec}&speed=max&from={begins_msc}")
    assert broker.captured() == np.count_nonzero(utc >= begins_msc)

    feed = reference.one_feed(symbol="BTCUSD", source=None)
    backfill.request(feed_id=feed.pk, from_msc=int(utc[0]), to_msc=begins_msc, reason="of the test")
    send_at(broker, tmp_path, spec, utc, int(utc[-1]))

    assert_complete(tmp_path, utc)


@pytest.mark.usefixtures("short_doubt")
@pytest.mark.parametrize(("switch_msc", "hours"), [AUTUMN, SPRING])
def test_a_broker_that_is_lost_over_the_switch_leaves_no_hole(
    broker: Desk, switch_msc: int, hours: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utc = np.arange(switch_msc - 800, switch_msc + 800, 20, dtype=np.int64)
    spec = record(tmp_path, ticks_at(utc, switch_msc, *hours))
    fault = {"kind": "link_lost", "at_msc": clock.now_msc() + 500, "for_ms": 1000, "fetch_ms": 700}
    (tmp_path / "faults").write_text(json.dumps(fault) + "\n")
    monkeypatch.setenv("TICKHUB_FAULT_FILE", str(tmp_path / "faults"))

    send(broker, tmp_path, f"{spec}&speed=1")

    assert_complete(tmp_path, utc)
    assert broker.missing() == 0
