"""A terminal's call that does not return: the poller in it is replaced, and commits nothing when it wakes."""

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.crash import recordings
from tests.crash.conftest import NewSystem
from tests.crash.system import waited_for
from tests.crash.test_stopped_poller import another_poller
from tests.integration.embedded.conftest import are_gone, wait_for
from tickhub.core import clock

_TICKS, _PLAYED_S = 60_000, 36
# Lease (1 s here), patience (8 s), one look, the start of a process, and a slow machine.
_REPLACED_WITHIN_S = 20


def plan(path: Path, **fault: object) -> None:
    with path.open("a") as lines:
        lines.write(json.dumps(fault) + "\n")


@pytest.mark.timeout(150)
def test_a_poller_that_hangs_in_its_terminal_is_replaced_and_the_fence_shuts_it_out(
    new_system: NewSystem, tmp_path: Path
) -> None:
    faults = tmp_path / "faults.jsonl"
    source = recordings.write(tmp_path / "X.npz", recordings.make(_TICKS, seconds=3000, seed=5))
    system = new_system(TICKHUB_FAULT_FILE=str(faults), TICKHUB_LEASE_TTL_MS="1000")
    system.start(f"replay:{source}?symbol=X&speed={3000 / _PLAYED_S}")
    first = waited_for(lambda: system.find("manage.py poll"), within_s=60)
    assert wait_for(lambda: system.captured() > 0, within_s=60)

    plan(faults, kind="hang", for_ms=22_000)
    hung_s = clock.monotonic_s()
    waited_for(partial(another_poller, system, first), within_s=_REPLACED_WITHIN_S)
    replaced_s = clock.monotonic_s() - hung_s
    # Nothing but the hang can have kept it: it is neither stopped nor does it listen to SIGTERM.
    os.kill(first, signal.SIGTERM)
    still_hung = not are_gone([first])
    assert wait_for(partial(are_gone, [first]), within_s=40)

    assert (still_hung, replaced_s < _REPLACED_WITHIN_S) == (True, True)
    code, figures = system.wait(within_s=90)
    story = system.story()
    assert (code, figures.get("lost"), figures.get("stored_twice")) == (0, 0, 0), story
    assert story.count("is no longer the newest") == 1, story
    assert system.leftovers() == [], story
    expected = {"exported": _TICKS, "source": _TICKS, "missing": 0, "not_of_source": 0}
    assert system.difference(source, "X") == expected
