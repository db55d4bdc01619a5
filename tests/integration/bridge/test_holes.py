"""What an agent's terminal missed appears behind newer ticks, in any order: it is captured all the same."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest import queries
from ingest.agent import link, running
from ingest.agent.conversation import Way
from ingest.sources import spec
from tests.builders import make_ticks
from tests.integration.bridge.conftest import NOON_MSC, Desk
from tests.integration.bridge.test_client_of_the_document import captured, tick
from tests.wire_client import Terminal, WireClient
from tickhub.core import clock

MINUTE_MS, HOUR_MS = 60_000, 3_600_000


def beat_for(client: WireClient, seconds: float, **condition: Any) -> None:  # Any: JSON
    """Beat and answer for a while, with one condition told from its begin on."""
    end_s = time.monotonic() + seconds
    client.terminal.condition = condition
    client.beat()
    client.serve(lambda: time.monotonic() > end_s)


@pytest.mark.parametrize("tells", ["its link", "since when it doubts", "nothing"])
def test_what_was_missed_is_captured_though_the_first_new_tick_came_before_it(desk: Desk, tells: str) -> None:
    terminal = Terminal(["EURUSD"])
    terminal.now_msc = NOON_MSC
    client = desk.client(terminal)
    client.hello(begins_msc=NOON_MSC)
    terminal.insert(0, [tick(0), tick(MINUTE_MS)])
    terminal.now_msc += MINUTE_MS
    client.poll()
    client.serve(lambda: len(client.answers) == 1)
    # Passes that find nothing go on during the outage.
    terminal.now_msc = NOON_MSC + 3 * HOUR_MS
    beat_for(client, 1.2, **({"link": "LINK_LOST"} if tells == "its link" else {}))

    terminal.condition = {"doubted_msc": NOON_MSC + MINUTE_MS} if tells == "since when it doubts" else {}
    client.beat()
    terminal.insert(0, [tick(3 * HOUR_MS)])
    client.poll()
    client.serve(lambda: len(client.answers) == 2)
    terminal.insert(0, [tick(30 * MINUTE_MS), tick(90 * MINUTE_MS), tick(150 * MINUTE_MS)])
    terminal.condition = {}
    client.beat()
    client.finish()

    assert captured(desk, "EURUSD") == Counter(terminal.ticks[0])


def test_past_of_a_terminal_that_is_fetching_its_history_is_not_asked_for(desk: Desk) -> None:
    terminal = Terminal(["EURUSD"])
    terminal.now_msc = NOON_MSC
    client = desk.client(terminal)
    client.hello(begins_msc=NOON_MSC)
    terminal.insert(0, [tick(0), tick(1), tick(MINUTE_MS)])
    terminal.now_msc += MINUTE_MS
    client.poll()
    client.serve(lambda: len(client.answers) == 1)
    # Time enough for the last question asked before the bridge knew.
    beat_for(client, 1.5, doubted_msc=NOON_MSC)

    whole, terminal.ticks[0] = terminal.ticks[0], terminal.ticks[0][:1]
    beat_for(client, 2.5, doubted_msc=NOON_MSC)
    terminal.ticks[0] = whole
    beat_for(client, 0.1)
    client.finish()

    found = queries.captured_between(source_id=desk.source.pk, from_msc=0, to_msc=1 << 60)
    assert [len(part.ticks) for part in found.values()] == [3]
    assert desk.missing() == 0


@pytest.mark.parametrize(
    "faults",
    [
        [("link_lost", 400, 700, {"fetch_ms": 800})],
        [("ipc_lost", 500, 300, {})],
        [("update_restart", 500, 200, {}), ("slow_history", 500, 900, {})],
        # The recording ends while the broker is lost.
        [("link_lost", 700, 2_500, {})],
    ],
    ids=lambda faults: "+".join(kind for kind, *_ in faults),
)
def test_agent_sends_every_tick_once_whatever_fails_on_the_way(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: list[tuple[str, int, int, dict[str, int]]]
) -> None:
    ticks = make_ticks([(ms, 1.1 + ms / 1e6, 1.2 + ms / 1e6) for ms in range(0, 2_000, 10)])
    np.savez(tmp_path / "EURUSD.npz", ticks=ticks)
    (tmp_path / "token").write_text(desk.token)
    started_msc = clock.now_msc()
    planned = [
        {"kind": kind, "at_msc": started_msc + after_ms, "for_ms": for_ms} | more
        for kind, after_ms, for_ms, more in faults
    ]
    (tmp_path / "faults").write_text("".join(json.dumps(fault) + "\n" for fault in planned))
    monkeypatch.setenv("TICKHUB_FAULT_FILE", str(tmp_path / "faults"))

    running.run(
        spec.parse(f"replay:{tmp_path / 'EURUSD.npz'}?speed=1"),
        link.address(desk.bridge.url, tmp_path / "token", ca_file=None, allows_plain=False),
        Way(
            interval_s=0.02,
            page_ticks=1000,
            until_drained=True,
            should_stop=lambda: clock.now_msc() > started_msc + 30_000,
        ),
    )

    assert captured(desk, "EURUSD") == Counter(ticks.tolist())
    assert desk.missing() == 0
