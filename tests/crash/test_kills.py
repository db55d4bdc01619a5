"""Every process of the system is killed at a random moment, some in the middle of their work. Nothing is lost."""

import json
import logging
import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.crash import recordings
from tests.crash.conftest import NewSystem
from tests.crash.system import System, waited_for
from tests.integration.embedded.conftest import wait_for

logger = logging.getLogger(__name__)

# Played in twice the time that the kills take on a machine with nothing else to do.
_TICKS, _PLAYED_S = 200_000, 30
_LONGEST_PEACE_S = 2.5

_TARGETS: dict[str, Callable[[System], int | None]] = {
    "worker": lambda s: s.find("celery", "--queues=batches"),
    "a child of the worker": lambda s: s.child_of(s.find("celery", "--queues=batches")),
    "poller": lambda s: s.find("manage.py poll"),
    "valkey": lambda s: s.find("valkey-server"),
    "postmaster": lambda s: s.find("postgres", "-D"),
    "a backend": lambda s: s.child_of(s.find("postgres", "-D"), "tickhub tickhub"),
}


def has_come(moment_s: float) -> bool:
    return time.monotonic() >= moment_s


@pytest.mark.timeout(170)
def test_killing_every_process_at_random_moments_loses_and_doubles_nothing(
    new_system: NewSystem, tmp_path: Path
) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(1 << 32))
    logger.warning("CRASH_SEED=%s", seed)
    rng = random.Random(seed)
    source = recordings.write(tmp_path / "X.npz", recordings.make(_TICKS, seconds=3000, seed=seed))
    system = new_system()
    system.start(f"replay:{source}?symbol=X&speed={3000 / _PLAYED_S}")
    waited_for(partial(_TARGETS["poller"], system), within_s=60)
    wait_for(lambda: system.captured() > 0, within_s=60)
    begun_s = time.monotonic()

    for name in rng.sample(sorted(_TARGETS), len(_TARGETS)):
        wait_for(partial(has_come, time.monotonic() + rng.uniform(0, _LONGEST_PEACE_S)), within_s=60)
        # Where a kill has taken it along, it must come back first.
        pid = waited_for(partial(_TARGETS[name], system), within_s=40)
        os.kill(pid, signal.SIGKILL)
        logger.warning("%.1f s: killed %s, pid %s", time.monotonic() - begun_s, name, pid)
    captured = waited_for(lambda: system.captured() or None, within_s=40)
    assert captured < _TICKS
    code, figures = system.wait(within_s=90)

    story = system.story()
    assert (code, figures.get("lost"), figures.get("stored_twice")) == (0, 0, 0), story
    assert (figures["captured"], figures["stored"]) == (_TICKS, _TICKS), story
    assert system.leftovers() == [], story
    expected = {"exported": _TICKS, "source": _TICKS, "missing": 0, "not_of_source": 0}
    assert system.difference(source, "X") == expected
    proof = system.manage("reconcile", "--deep", "--json")
    report = json.loads(proof.stdout.splitlines()[-1])
    assert (proof.returncode, report["lost"], report["stored_twice"], report["differences"]) == (0, 0, 0, [])
    assert np.load(source)["ticks"].size == report["stored"]
