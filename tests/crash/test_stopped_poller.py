"""A poller that hangs is replaced; when it wakes up, it finds its lease lost and commits nothing."""

import logging
import os
import random
import signal
from functools import partial
from pathlib import Path

import psycopg
import pytest

from tests.crash import recordings
from tests.crash.conftest import NewSystem
from tests.crash.system import System, waited_for
from tests.integration.embedded.conftest import are_gone, wait_for

logger = logging.getLogger(__name__)

_TICKS, _PLAYED_S = 150_000, 40


def stop_at_random(system: System, pid: int, rng: random.Random) -> None:
    """Stop a poller wherever it happens to be."""
    target = system.captured() + rng.randrange(1, 5_000)
    assert wait_for(lambda: system.captured() >= target, within_s=20)
    os.kill(pid, signal.SIGSTOP)


def stop_inside_its_transaction(system: System, pid: int) -> None:
    """Stop a poller that has written its batch, holds locks, and has not committed."""
    urls = waited_for(system.urls, within_s=5)
    with psycopg.connect(urls["DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE ingest_cursor IN SHARE MODE")
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ingest_cursor'::regclass"
        assert wait_for(lambda: system.ask(blocked) == 1, within_s=20)
        os.kill(pid, signal.SIGSTOP)


def another_poller(system: System, first: int) -> int | None:
    """A poller that holds the lease and is not the first."""
    holder = system.ask("SELECT holder FROM ingest_lease WHERE expires_at > clock_timestamp()")
    pid = system.find("manage.py poll", besides=first)
    return pid if pid is not None and str(holder).endswith(f" pid {pid}") else None


@pytest.mark.timeout(150)
def test_a_stopped_poller_is_replaced_and_commits_nothing_once_it_continues(
    new_system: NewSystem, tmp_path: Path
) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(1 << 32))
    logger.warning("CRASH_SEED=%s", seed)
    rng = random.Random(seed)
    source = recordings.write(tmp_path / "X.npz", recordings.make(_TICKS, seconds=3000, seed=seed))
    system = new_system(TICKHUB_LEASE_TTL_MS="1000", TICKHUB_IDLE_TRANSACTION_TIMEOUT_MS="4000")
    system.start(f"replay:{source}?symbol=X&speed={3000 / _PLAYED_S}")
    first = waited_for(lambda: system.find("manage.py poll"), within_s=60)
    assert wait_for(lambda: system.captured() > 0, within_s=60)

    stop_at_random(system, first, rng)
    second = waited_for(partial(another_poller, system, first), within_s=30)
    os.kill(first, signal.SIGCONT)
    assert wait_for(partial(are_gone, [first]), within_s=15)

    stop_inside_its_transaction(system, second)
    third = waited_for(partial(another_poller, system, second), within_s=30)
    captured = system.captured()
    os.kill(second, signal.SIGCONT)
    assert wait_for(partial(are_gone, [second]), within_s=15)

    assert captured < _TICKS
    # No fourth was needed; the third may have played the rest meanwhile.
    assert system.find("manage.py poll") in (third, None)
    code, figures = system.wait(within_s=60)
    story = system.story()
    assert (code, figures.get("lost"), figures.get("stored_twice")) == (0, 0, 0), story
    assert story.count("is no longer the newest") >= 2, story
    assert system.leftovers() == [], story
    expected = {"exported": _TICKS, "source": _TICKS, "missing": 0, "not_of_source": 0}
    assert system.difference(source, "X") == expected
