"""When the supervisor itself is killed, nothing that it started outlives it."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.crash import recordings
from tests.crash.conftest import NewSystem
from tests.integration.embedded.conftest import are_gone, wait_for


@pytest.mark.timeout(100)
def test_every_process_ends_by_itself_once_the_supervisor_is_killed(new_system: NewSystem, tmp_path: Path) -> None:
    source = recordings.write(tmp_path / "X.npz", recordings.make(50_000, seconds=3000, seed=5))
    system = new_system()
    system.start(f"replay:{source}?symbol=X&speed=60")
    assert system.process is not None
    assert wait_for(lambda: system.captured() > 0, within_s=60)
    family = [process.pid for process in system.family()]

    os.kill(system.process.pid, signal.SIGKILL)

    system.process.wait()
    assert wait_for(partial(are_gone, family), within_s=40), system.leftovers()
