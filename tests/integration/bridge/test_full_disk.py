"""A bridge whose database has little room: it takes no frame, drops no agent, and goes on by itself."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytest_django.fixtures import Settings

from ingest.models import Batch, Lease
from quality.models import Incident
from tests.integration.bridge.conftest import NOON_MSC, NewDesk
from tests.integration.bridge.local import LocalBridge
from tests.integration.bridge.test_frames import connected, send
from tests.integration.embedded.conftest import wait_for
from tickhub import stops
from tickhub.api import health
from tickhub.core import clock


class Disk:
    """What the operating system says of every folder."""

    def __init__(self) -> None:
        self.free_mb = 10_000

    def statvfs(self, folder: str) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=self.free_mb, f_frsize=1 << 20)


@pytest.fixture
def small_disk(database: None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(os, "statvfs", made.statvfs)
    settings.DATABASE_FOLDER, settings.DISK_RESERVE_MB = str(tmp_path), 512
    return made


def test_a_bridge_takes_no_frame_while_the_disk_is_nearly_full_and_goes_on_by_itself(
    small_disk: Disk, local_bridge: LocalBridge, new_desk: NewDesk
) -> None:
    desk = new_desk(local_bridge)
    client = connected(desk)
    send(client, 1, [NOON_MSC, 0], 5)
    client.serve(lambda: len(client.answers) == 1)

    small_disk.free_mb = 100
    client.serve(lambda: "desk" in stops.stopped(["desk"]))
    send(client, 2, [NOON_MSC + 5, 1], 6)
    reason, state = stops.stopped(["desk"])["desk"], health.report()
    fence, freed_at = Lease.objects.get().fence, clock.now()
    small_disk.free_mb = 10_000
    client.serve(lambda: len(client.answers) == 2)

    assert reason == "100 MB free on the database's disk, reserve 512 MB"
    assert (state["status"], state["disk"]) == ("failing", "DISK_FULL")
    assert [batch.captured_at > freed_at for batch in Batch.objects.order_by("pk")] == [False, True]
    assert [(answer["type"], answer["number"]) for answer in client.answers] == [("ack", 1), ("ack", 2)]
    assert (desk.captured(), Lease.objects.get().fence) == (2, fence)
    assert stops.stopped(["desk"]) == {}
    assert wait_for(lambda: Incident.objects.filter(cause="CAPTURE_STOPPED", source=desk.source).exists(), within_s=5)


def test_a_stop_that_outlasts_the_connection_is_told_when_the_next_one_goes_on(
    small_disk: Disk, local_bridge: LocalBridge, new_desk: NewDesk
) -> None:
    desk = new_desk(local_bridge)
    first = connected(desk)
    small_disk.free_mb = 100
    first.serve(lambda: "desk" in stops.stopped(["desk"]))
    first.socket.close()
    assert wait_for(desk.is_left, within_s=10)

    small_disk.free_mb = 10_000
    connected(desk)

    assert wait_for(lambda: Incident.objects.filter(cause="CAPTURE_STOPPED", source=desk.source).exists(), within_s=5)
