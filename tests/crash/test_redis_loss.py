"""What Redis holds can be lost or doubled at any moment: the messages are never the only copy."""

import contextlib
from pathlib import Path

import psycopg
import pytest
import redis
from celery import Celery

from tests.crash import recordings
from tests.crash.conftest import NewSystem
from tests.crash.system import System, waited_for
from tests.integration.embedded.conftest import wait_for

_TICKS, _PLAYED_S = 100_000, 12


def publish_again(system: System, sent: set[int]) -> int | None:
    """Publish the id of every batch a second time, and return how many were; None until all is captured."""
    urls = waited_for(system.urls, within_s=5)
    with psycopg.connect(urls["DATABASE_URL"]) as connection:
        rows = connection.execute("SELECT id, (SELECT sum(tick_count) FROM ingest_batch) FROM ingest_batch").fetchall()
    with Celery("test", broker=urls["REDIS_URL"]) as app:
        for batch_id in {row[0] for row in rows} - sent:
            app.send_task("tickhub.process_batch", kwargs={"batch_id": batch_id}, queue="batches")
            sent.add(batch_id)
    return len(sent) if rows and rows[0][1] == _TICKS else None


@pytest.mark.timeout(120)
def test_flushing_redis_and_doubling_every_message_loses_and_doubles_nothing(
    new_system: NewSystem, tmp_path: Path
) -> None:
    source = recordings.write(tmp_path / "X.npz", recordings.make(_TICKS, seconds=1200, seed=3))
    system = new_system(TICKHUB_PUBLISH_AGAIN_MS="1500")
    system.start(f"replay:{source}?symbol=X&speed={1200 / _PLAYED_S}")
    urls = waited_for(system.urls, within_s=60)
    sent: set[int] = set()
    flushed = 0

    with redis.Redis.from_url(urls["REDIS_URL"]) as client:
        for share in (0.2, 0.4, 0.6, 0.8):
            assert wait_for(lambda share=share: system.captured() >= share * _TICKS, within_s=60)  # type: ignore[misc]
            publish_again(system, sent)
            # Once with messages in the queue and their workers in the middle of them.
            client.flushall()
            flushed += 1
    with contextlib.suppress(psycopg.Error):  # the system may end as soon as all is stored
        waited_for(lambda: publish_again(system, sent), within_s=30)
    code, figures = system.wait(within_s=60)

    story = system.story()
    assert flushed == 4
    assert (code, figures.get("lost"), figures.get("stored_twice")) == (0, 0, 0), story
    assert (figures["captured"], figures["stored"], figures["duplicates"]) == (_TICKS, _TICKS, 0), story
    expected = {"exported": _TICKS, "source": _TICKS, "missing": 0, "not_of_source": 0}
    assert system.difference(source, "X") == expected
