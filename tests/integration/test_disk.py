"""The guard of the database's disk, and what a poller and a worker do when PostgreSQL itself refuses to write."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import InterfaceError, connection
from pytest_django.fixtures import Settings

from ingest.models import Batch, Lease
from quality.models import Incident
from storage import latest
from tests.away import away
from tests.builders import make_ticks
from tests.capturing import make_rig
from tickhub import disk, overflow, pipeline, publishing, repeating, stops, tasks
from tickhub.api import health
from tickhub.core import metrics
from tickhub.disk import DiskFull, Guard
from tickhub.stops import DiskGate

pytestmark = pytest.mark.usefixtures("database")

_TOO_MUCH_MB = 1_000_000_000


@contextmanager
def refusing(write: str, table: str) -> Iterator[None]:
    """Make PostgreSQL refuse every INSERT or UPDATE of a table as it does without room: SQLSTATE 53100."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
            " 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
        )
        cursor.execute(f"CREATE TRIGGER refuse BEFORE {write} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse()")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse CASCADE")


def blind_guard() -> Guard:
    """A guard that cannot see the disk, as beside a remote PostgreSQL."""
    return Guard(reserve_bytes=1 << 60, folders=list)


def test_the_guard_sees_the_disk_of_the_embedded_server() -> None:
    if not str(connection.settings_dict["HOST"]).startswith("/"):
        pytest.skip("the server is not reached by a Unix socket")

    room = disk.guard().look()

    assert (room.state, room.is_full) == ("ok", False)
    assert room.free_bytes is not None
    assert disk.database_folders()[0].endswith("postgres")


def test_the_guard_is_closed_while_less_than_the_reserve_is_free(tmp_path: Path) -> None:
    free_bytes = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize

    with pytest.raises(DiskFull, match=r"^\d+ MB free on the database's disk, reserve \d+ MB$"):
        Guard(reserve_bytes=free_bytes * 2, folders=lambda: [str(tmp_path)]).check()
    Guard(reserve_bytes=free_bytes // 2, folders=lambda: [str(tmp_path)]).check()


def test_a_disk_that_cannot_be_seen_is_unknown_and_open(tmp_path: Path) -> None:
    assert blind_guard().look().state == "unknown"
    assert Guard(reserve_bytes=1, folders=lambda: [str(tmp_path / "none")]).look().state == "unknown"


def test_the_folder_of_a_remote_database_can_be_given(settings: Settings, tmp_path: Path) -> None:
    settings.DATABASE_FOLDER, settings.DISK_RESERVE_MB = str(tmp_path), _TOO_MUCH_MB
    disk.forget_guard()

    assert disk.guard().look().state == "DISK_FULL"


def test_a_poller_stops_when_postgresql_has_no_room_and_goes_on_by_itself(settings: Settings) -> None:
    gate = DiskGate(source_id=0, name="hand", guard=blind_guard())
    rig = make_rig("EURUSD", gate=gate)
    gate._source_id = rig.poller.target.source_id
    rig.terminal.history["EURUSD"] = make_ticks([(1, 1.1, 1.2), (2, 1.1, 1.2)])
    rig.source.now_msc += 10
    seen: list[str | None] = []

    with refusing("INSERT", "ingest_batch"):
        for _ in range(2):
            repeating.repeat(rig.poller, rig.poller.poll, lambda: True)
            seen.append(stops.stopped(["hand"]).get("hand"))
    fence = Lease.objects.get().fence
    saved = repeating.repeat(rig.poller, rig.poller.poll, lambda: False)

    assert seen == ["could not extend file: No space left on device"] * 2
    assert (saved, Batch.objects.count(), Lease.objects.get().fence) == (2, 1, fence)
    assert stops.stopped(["hand"]) == {}
    incident = Incident.objects.get()
    assert (incident.cause, incident.source_id, incident.state) == (
        "CAPTURE_STOPPED",
        rig.poller.target.source_id,
        "OPEN",
    )
    assert incident.evidence["reason"] == "could not extend file: No space left on device"


def test_a_stop_is_told_later_where_the_connection_is_lost_just_then() -> None:
    gate = DiskGate(source_id=0, name="hand", guard=blind_guard())
    rig = make_rig("EURUSD", gate=gate)
    gate._source_id = rig.poller.target.source_id
    rig.terminal.history["EURUSD"] = make_ticks([(1, 1.1, 1.2)])
    rig.source.now_msc += 10
    with refusing("INSERT", "ingest_batch"):
        repeating.repeat(rig.poller, rig.poller.poll, lambda: True)

    with away("quality_incident", times=1, error=InterfaceError):
        saved = repeating.repeat(rig.poller, rig.poller.poll, lambda: False)
    repeating.repeat(rig.poller, rig.poller.poll, lambda: False)

    assert saved == 1
    assert Incident.objects.get().cause == "CAPTURE_STOPPED"


def test_a_stopped_poller_keeps_its_lease_and_health_says_so(tmp_path: Path) -> None:
    gate = DiskGate(source_id=1, name="hand", guard=Guard(reserve_bytes=1 << 60, folders=lambda: [str(tmp_path)]))
    rig = make_rig("EURUSD", gate=gate, ttl_ms=1_000)
    before = Lease.objects.get().expires_at

    repeating.repeat(rig.poller, rig.poller.poll, lambda: True)
    report = health.report()

    assert Lease.objects.get().expires_at > before
    assert (report["status"], report["disk"], list(report["stopped_sources"])) == ("failing", "DISK_FULL", ["hand"])
    assert metrics.CAPTURE_STOPPED.labels("hand")._value.get() == 1


def test_a_worker_leaves_a_batch_alone_that_postgresql_has_no_room_for() -> None:
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(1, 1.1, 1.2)])
    rig.source.now_msc += 10
    rig.poller.poll()
    refused = metrics.DISK_REFUSALS._value.get()

    with refusing("UPDATE", "ingest_batch"):
        tasks.process_batch(batch_id=rig.published[0])
        tasks.process_batch(batch_id=rig.published[0])

    assert Batch.objects.get().status == "WAITING"
    assert metrics.DISK_REFUSALS._value.get() - refused == 2
    assert pipeline.process(batch_id=rig.published[0]) == rig.published[0]
    assert Batch.objects.get().status == "STORED"


def test_nothing_is_published_or_stored_while_the_disk_is_full(settings: Settings, tmp_path: Path) -> None:
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(1, 1.1, 1.2)])
    rig.source.now_msc += 10
    rig.poller.poll()
    Batch.objects.update(next_publish_at="2026-01-01T00:00:00Z")
    settings.DATABASE_FOLDER, settings.DISK_RESERVE_MB = str(tmp_path), _TOO_MUCH_MB
    disk.forget_guard()

    tasks.sweep_inbox()
    tasks.process_batch(batch_id=rig.published[0])
    overflow.watch()

    assert publishing.queue_length() == 0
    assert (Batch.objects.get().status, Batch.objects.get().publish_count) == ("WAITING", 0)
    assert Incident.objects.get().cause == "DISK_FULL"
    settings.DISK_RESERVE_MB = 1
    disk.forget_guard()
    tasks.sweep_inbox()
    overflow.watch()
    assert publishing.queue_length() == 1
    assert Incident.objects.get().state == "RESOLVED"
    latest.client().flushdb()
