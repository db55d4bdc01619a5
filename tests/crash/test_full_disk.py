"""The database's disk fills up during capture: capture stops in time, says so, goes on by itself, and loses nothing."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.crash import disks, recordings
from tests.crash.system import System, waited_for
from tests.integration.embedded.conftest import wait_for

_TICKS, _PLAYED_S, _RESERVE_MB = 100_000, 25, 128


@pytest.fixture
def disk() -> Iterator[Path]:
    with disks.small_disk(1000) as path:
        yield path


def health(system: System) -> dict[str, Any]:  # Any: JSON
    """What health/ answers, whatever its status, with the status; {} where it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{system.port}/api/v1/health/", timeout=5) as answer:
            return dict(json.load(answer)) | {"code": answer.status}
    except urllib.error.HTTPError as error:
        with error:
            return dict(json.load(error)) | {"code": error.code}
    except OSError:
        return {}


def stands_still(system: System, seconds: float) -> int | None:
    """How much is captured if that has not changed for some time."""
    before = system.captured()
    time.sleep(seconds)  # that nothing happens cannot be waited for otherwise
    return before if system.captured() == before else None


def incidents(system: System) -> list[list[str]]:
    found = system.ask(
        "SELECT coalesce(json_agg(json_build_array(cause, state) ORDER BY id), '[]') FROM quality_incident"
        " WHERE cause IN ('DISK_FULL', 'CAPTURE_STOPPED')"
    )
    return list(found or [])


def prove(system: System, source: Path) -> None:
    code, figures = system.wait(within_s=90)
    story = system.story()
    assert (code, figures.get("lost"), figures.get("stored_twice")) == (0, 0, 0), story
    assert (figures["captured"], figures["stored"], figures["duplicates"]) == (_TICKS, _TICKS, 0), story
    expected = {"exported": _TICKS, "source": _TICKS, "missing": 0, "not_of_source": 0}
    assert system.difference(source, "X") == expected


@pytest.mark.timeout(170)
def test_a_disk_nearly_full_stops_capture_and_workers_and_room_resumes_them(disk: Path, tmp_path: Path) -> None:
    source = recordings.write(tmp_path / "X.npz", recordings.make(_TICKS, seconds=2400, seed=5))
    system = System(disk / "data", TICKHUB_DISK_RESERVE_MB=str(_RESERVE_MB))
    try:
        system.start(f"replay:{source}?symbol=X&speed={2400 / _PLAYED_S}&name=x")
        assert wait_for(lambda: system.captured() > 0.2 * _TICKS, within_s=60), system.story()

        ballast = disks.fill(disk, leave_mb=_RESERVE_MB - 20)
        assert wait_for(lambda: health(system).get("disk") == "DISK_FULL", within_s=20), system.story()
        captured = waited_for(partial(stands_still, system, 3.0), within_s=20)
        told = health(system)
        free_mb = disks.free_mb(disk)

        assert captured < _TICKS
        assert (told["code"], told["status"], told["postgresql"]) == (503, "failing", "ok")
        assert list(told["stopped_sources"]) == ["x"]
        # What was on its way when the disk filled up, and no more.
        assert free_mb > _RESERVE_MB - 60
        assert wait_for(lambda: incidents(system) == [["DISK_FULL", "OPEN"]], within_s=20), incidents(system)

        ballast.unlink()
        assert wait_for(lambda: system.captured() > captured, within_s=20), system.story()
        assert wait_for(
            lambda: incidents(system) == [["DISK_FULL", "RESOLVED"], ["CAPTURE_STOPPED", "OPEN"]], within_s=20
        ), incidents(system)
        prove(system, source)

        log = (system.data / "logs" / "poller-1.log").read_text()
        assert (log.count("capture stopped: DISK_FULL"), log.count("capture resumed")) == (1, 1), log
        console = system.err.read_text()
        assert console.count("MB free on the database's disk, reserve 128 MB") == 1, console
        assert "capture goes on: the disk has room again" in console
        assert "starting another poller" not in console
    finally:
        system.end()
