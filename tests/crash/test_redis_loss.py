"""What Redis holds can be lost or doubled at any moment: the messages are never the only copy."""

import contextlib
from functools import partial
from pathlib import Path

import psycopg
import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from tests.crash import recordings
from tests.crash.conftest import NewSystem
from tests.crash.system import System, waited_for
from tests.integration.embedded.conftest import wait_for

# It begins to play when the command starts: the first poll catches up with what was shown by then.
_TICKS, _PLAYED_S = 100_000, 18


def publish_again(system: System, sent: set[int]) -> None:
    """Publish the id of every batch a second time; nothing where the system has ended."""
    urls = system.urls()
    if urls is None:
        return
    with contextlib.suppress(psycopg.OperationalError, OperationalError):
        with psycopg.connect(urls["DATABASE_URL"]) as connection:
            ids = {row[0] for row in connection.execute("SELECT id FROM ingest_batch").fetchall()}
        with Celery("test", broker=urls["REDIS_URL"]) as app:
            for batch_id in ids - sent:
                app.send_task("tickhub.process_batch", kwargs={"batch_id": batch_id}, queue="batches")
                sent.add(batch_id)


def is_captured(system: System, share: float) -> bool:
    return system.captured() >= share * _TICKS


@pytest.mark.timeout(120)
def test_flushing_redis_and_doubling_every_message_loses_and_doubles_nothing(
    new_system: NewSystem, tmp_path: Path
) -> None:
    source = recordings.write(tmp_path / "X.npz", recordings.make(_TICKS, seconds=2400, seed=3))
    system = new_system(TICKHUB_PUBLISH_AGAIN_MS="1500")
    system.start(f"replay:{source}?symbol=X&speed={2400 / _PLAYED_S}")
    urls = waited_for(system.urls, within_s=60)
    sent: set[int] = set()

    with redis.Redis.from_url(urls["REDIS_URL"]) as client:
        for share in (0.6, 0.7, 0.8, 0.9):
            assert wait_for(partial(is_captured, system, share), within_s=60)
            publish_again(system, sent)
            # With messages in the queue, and workers in the middle of others.
            client.flushall()
            publish_again(system, sent)
    assert len(sent) >= 20
    assert system.captured() < _TICKS
    code, figures = system.wait(within_s=60)

    story = system.story()
    assert (code, figures.get("lost"), figures.get("stored_twice")) == (0, 0, 0), story
    assert (figures["captured"], figures["stored"], figures["duplicates"]) == (_TICKS, _TICKS, 0), story
    expected = {"exported": _TICKS, "source": _TICKS, "missing": 0, "not_of_source": 0}
    assert system.difference(source, "X") == expected
