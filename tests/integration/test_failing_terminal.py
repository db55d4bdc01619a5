"""Capture from a terminal that fails: every tick of its tape is captured once, and none of another account."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ingest import queries
from ingest.models import Batch, ConnectionMinute
from ingest.sources.session import WrongAccount
from quality.models import Finding, Incident
from tests import running
from tests.builders import make_ticks
from tickhub import capturing, watching
from tickhub.core import clock
from tickhub.core.ticks import Ticks
from tickhub.polling import Ending
from tickhub.reference.models import Source

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Four seconds, a tick each 10 ms."""
    ticks = make_ticks([(ms, 1.1 + ms / 1e6, 1.2 + ms / 1e6) for ms in range(0, 4_000, 10)])
    np.savez(tmp_path / "EURUSD.npz", ticks=ticks)
    return tmp_path / "EURUSD.npz"


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    file = tmp_path / "faults.jsonl"
    monkeypatch.setenv("TICKHUB_FAULT_FILE", str(file))

    def add(**fault: object) -> None:
        with file.open("a") as lines:
            lines.write(json.dumps(fault) + "\n")

    return add


def of_tape(recording: Path) -> list[bytes]:
    return [row.tobytes() for row in np.load(recording)["ticks"]]


def captured() -> list[bytes]:
    source = Source.objects.get()
    found = queries.captured_between(source_id=source.pk, from_msc=0, to_msc=1 << 60)
    ticks: list[Ticks] = [part.ticks for part in found.values()]
    return [row.tobytes() for part in ticks for row in part]


@pytest.mark.parametrize(
    "faults",
    [
        [("ipc_lost", 1_000, 500)],
        [("ipc_lost", -100, 1_500)],
        [("link_lost", 800, 1_500)],
        [("link_lost", 800, 1_500), ("slow_history", 2_300, 900)],
        [("update_restart", 1_000, 300), ("slow_history", 1_000, 1_500)],
        [("ipc_timeout", 1_000, 500)],
        [("symbol_hidden", 1_000, 0)],
    ],
    ids=lambda faults: "+".join(f"{kind}@{after_ms}" for kind, after_ms, _ in faults),
)
def test_every_tick_is_captured_once_whatever_fails_on_the_way(
    recording: Path, plan: Callable[..., None], faults: list[tuple[str, int, int]]
) -> None:
    now_msc = clock.now_msc()
    for kind, after_ms, for_ms in faults:
        plan(kind=kind, at_msc=now_msc + after_ms, for_ms=for_ms)

    running.capture(f"replay:{recording}?speed=1", for_s=60)

    assert sorted(captured()) == sorted(of_tape(recording))
    running.drain()
    assert Finding.objects.filter(cause="HISTORY_CHANGED").count() == 0


def test_a_recording_has_not_been_played_while_the_history_of_its_end_is_being_fetched(
    recording: Path, plan: Callable[..., None]
) -> None:
    plan(kind="slow_history", at_msc=clock.now_msc() + 3_700, for_ms=2_000)

    running.capture(f"replay:{recording}?speed=1", for_s=60)

    assert sorted(captured()) == sorted(of_tape(recording))


def test_ticks_of_a_restart_on_another_account_are_not_stored(recording: Path, plan: Callable[..., None]) -> None:
    plan(kind="other_account", at_msc=clock.now_msc() + 1_000, for_ms=600_000)

    with pytest.raises(WrongAccount, match="on another account than configured"):
        running.capture(f"replay:{recording}?speed=1", for_s=60)

    kept = captured()
    assert 0 < len(kept) < 400
    assert ConnectionMinute.objects.order_by("-minute_at")[0].link == "WRONG_ACCOUNT"
    assert kept == of_tape(recording)[: len(kept)]


def test_known_source_that_is_found_on_another_account_at_its_start_is_an_incident(
    recording: Path, plan: Callable[..., None]
) -> None:
    running.capture(f"replay:{recording}?speed=max", for_s=60)
    kept = captured()
    plan(kind="other_server", at_msc=0, for_ms=1 << 60)

    with pytest.raises(WrongAccount, match="on server Other-Recording, not Recording"):
        running.capture(f"replay:{recording}?speed=max", for_s=60)
    watching.watch()

    assert captured() == kept
    assert [incident.cause for incident in Incident.objects.filter(state="OPEN")] == ["WRONG_ACCOUNT"]


def test_a_lost_broker_s_old_ticks_are_no_new_ticks(recording: Path, plan: Callable[..., None]) -> None:
    plan(kind="link_lost", at_msc=clock.now_msc() + 1_000, for_ms=600_000)
    stop: list[bool] = []

    def should_stop() -> bool:
        # Two further seconds of a terminal that shows nothing new.
        stop.extend([True] if clock.now_msc() > started_msc + 3_000 else [])
        return bool(stop)

    started_msc = clock.now_msc()
    capturing.run(
        f"replay:{recording}?speed=1",
        ending=Ending(until_drained=True),
        origin_msc=None,
        should_stop=should_stop,
        publish=lambda _: None,
    )

    kept = captured()
    assert 0 < len(kept) < 150
    assert kept == of_tape(recording)[: len(kept)]
    newest = Batch.objects.order_by("-id")[0]
    assert newest.tick_count > 0
