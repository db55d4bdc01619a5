"""What is known of an agent's terminal: its connection by minute, the age of its ticks, and that it is away."""

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest

from ingest import heartbeat
from ingest.agent import link, running
from ingest.agent.conversation import Way
from ingest.models import ConnectionMinute, Lease
from ingest.sources import spec
from ingest.sources.account import WrongAccount
from quality.models import Incident
from tests.builders import make_ticks
from tests.integration.bridge.conftest import NOON_MSC, Desk
from tests.integration.bridge.test_client_of_the_document import tick
from tests.integration.bridge.test_holes import beat_for
from tests.integration.embedded.conftest import wait_for
from tests.wire_client import Terminal
from tickhub import agents, watching
from tickhub.core import clock


def total(desk: Desk, column: str) -> int:
    return sum(ConnectionMinute.objects.filter(source=desk.source).values_list(column, flat=True))


def newest(desk: Desk) -> ConnectionMinute:
    return ConnectionMinute.objects.filter(source=desk.source).order_by("-minute_at")[0]


def test_minutes_say_how_the_terminal_was_and_how_old_its_ticks(desk: Desk) -> None:
    terminal = Terminal(["EURUSD"])
    terminal.now_msc = NOON_MSC + 1_000
    client = desk.client(terminal)
    client.hello(begins_msc=NOON_MSC)
    terminal.insert(0, [tick(950)])
    client.poll()
    beat_for(client, 0.5, hung_ms=60_000)
    beat_for(client, 0.5, link="LINK_LOST", circuit="HALF_OPEN", failures=3, hung_ms=60_040)
    client.socket.close()
    assert wait_for(desk.is_left, within_s=20)

    assert total(desk, "polls") == total(desk, "polls_ok") > 2
    assert total(desk, "connected_ms") > 300
    assert total(desk, "link_lost_ms") > 300
    # What hung before this connection is not of it.
    assert total(desk, "hung_ms") == 40
    minute = newest(desk)
    assert (minute.link, minute.circuit, minute.failures) == ("LINK_LOST", "HALF_OPEN", 3)
    assert {m.smallest_age_ms for m in ConnectionMinute.objects.filter(source=desk.source)} - {None} == {50}


def test_played_recording_says_nothing_of_a_clock(desk: Desk) -> None:
    terminal = Terminal(["EURUSD"])
    terminal.now_msc = NOON_MSC + 1_000
    client = desk.client(terminal)
    client.hello(begins_msc=NOON_MSC, is_replay=True)
    terminal.insert(0, [tick(950)])
    client.poll()
    client.finish()
    assert wait_for(desk.is_left, within_s=20)

    assert total(desk, "polls") > 0
    assert total(desk, "polls_with_ticks") == 0


def test_agent_whose_terminal_is_found_on_another_account_ends_and_is_an_incident(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(ms, 1.1, 1.2) for ms in range(0, 60_000, 10)]))
    (tmp_path / "token").write_text(desk.token)
    fault = {"kind": "other_account", "at_msc": clock.now_msc() + 700, "for_ms": 600_000}
    (tmp_path / "faults").write_text(json.dumps(fault) + "\n")
    monkeypatch.setenv("TICKHUB_FAULT_FILE", str(tmp_path / "faults"))
    monkeypatch.setenv(heartbeat.VARIABLE, str(tmp_path / "heartbeat"))

    with pytest.raises(WrongAccount):
        running.run(
            spec.parse(f"replay:{tmp_path / 'EURUSD.npz'}?speed=1"),
            link.address(desk.bridge.url, tmp_path / "token", ca_file=None, allows_plain=False),
            Way(interval_s=0.02, page_ticks=1000, until_drained=True, should_stop=lambda: False),
        )
    assert wait_for(desk.is_left, within_s=20)
    watching.watch()

    assert newest(desk).link == "WRONG_ACCOUNT"
    assert Incident.objects.get(cause="WRONG_ACCOUNT").source_id == desk.source.pk
    # A watchdog would have heard of it.
    assert float((tmp_path / "heartbeat").read_text().split()[0]) > 0


def test_agent_that_has_been_away_for_minutes_is_an_incident_until_it_is_back(desk: Desk) -> None:
    def away() -> list[str]:
        watching.watch()
        return list(Incident.objects.filter(cause="AGENT_AWAY").order_by("pk").values_list("state", flat=True))

    def seen(*, minutes_ago: int) -> None:
        ConnectionMinute.objects.all().delete()
        at = clock.now() - dt.timedelta(minutes=minutes_ago)
        ConnectionMinute.objects.create(source=desk.source, minute_at=at, link="CONNECTED", circuit="CLOSED")

    assert away() == []
    Lease.objects.create(source=desk.source, expires_at=dt.datetime(1970, 1, 1, tzinfo=dt.UTC))
    seen(minutes_ago=4)
    assert away() == []
    seen(minutes_ago=6)
    assert away() == ["OPEN"]
    Lease.objects.update(expires_at=clock.now() + dt.timedelta(hours=1))
    assert away() == ["RESOLVED"]
    Lease.objects.update(expires_at=dt.datetime(1970, 1, 1, tzinfo=dt.UTC))
    assert away() == ["RESOLVED", "OPEN"]
    agents.revoke(name="desk")
    assert away() == ["RESOLVED", "RESOLVED"]
