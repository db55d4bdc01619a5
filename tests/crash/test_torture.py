"""A short seeded part of the matrix of faults and moments; `bench capture-torture` runs more of it."""

import json
import logging
import os
import random
import subprocess
import sys

import pytest

from tests.crash.system import MANAGE, environment

logger = logging.getLogger(__name__)

_RUNS = 4


@pytest.mark.timeout(170)
def test_seeded_faults_at_random_moments_lose_and_double_nothing() -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(1 << 32))
    logger.warning("CRASH_SEED=%s", seed)
    command = [sys.executable, MANAGE, "bench", "capture-torture", f"--runs={_RUNS}", f"--seed={seed}", "--json"]

    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=160, check=False)

    assert done.stdout, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, report["failed"]) == (0, []), done.stderr
    assert (report["runs"], report["lost"], report["stored_twice"]) == (_RUNS, 0, 0)
    assert report["ticks"] > 0
    assert sum(report["by_fault"].values()) > 0
