"""A Redis that refuses to write never stops capture or storing: batches wait, and the sweeper publishes them."""

import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import redis

from ingest.models import Batch
from storage import latest
from tests.builders import make_ticks
from tests.capturing import make_rig
from tests.integration.embedded.conftest import wait_for
from tickhub import pipeline, publishing, tasks
from tickhub.core import clock

pytestmark = pytest.mark.usefixtures("database")


@contextmanager
def out_of_memory() -> Iterator[str]:
    """Refuse what could need memory: -OOM."""
    client = latest.client()
    client.config_set("maxmemory", "1")
    try:
        yield "used memory > 'maxmemory'"
    finally:
        client.config_set("maxmemory", "0")


@contextmanager
def unable_to_save() -> Iterator[str]:
    """Refuse writes because the last snapshot failed: -MISCONF."""
    client = latest.client()
    folder = Path(str(client.config_get("dir")["dir"]))
    if not folder.is_dir():
        pytest.skip("Redis runs elsewhere: its folder cannot be closed")
    mode = stat.S_IMODE(folder.stat().st_mode)
    client.config_set("save", "3600 1")
    folder.chmod(0o500)
    try:
        client.bgsave()
        assert wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        yield "MISCONF"
    finally:
        folder.chmod(mode)
        client.config_set("save", "")
        client.bgsave()
        assert wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok")


@pytest.mark.parametrize("refusing", [out_of_memory, unable_to_save])
def test_capture_and_storing_go_on_and_the_sweeper_publishes_what_waited(
    refusing: Callable[[], AbstractContextManager[str]],
) -> None:
    rig = make_rig("EURUSD")
    publisher = publishing.Publisher()
    sent: list[bool] = []
    rig.poller.publish = lambda batch_id: sent.append(publisher.publish(batch_id))

    with refusing() as code:
        with pytest.raises(redis.ResponseError, match=code):
            latest.client().lpush("probe", "1")
        for count in (1, 2, 3):
            rig.terminal.history["EURUSD"] = make_ticks([(n, 1.1, 1.2) for n in range(count)])
            rig.source.now_msc += 10
            rig.poller.poll()
        oldest = Batch.objects.order_by("pk")[0].pk
        stored = pipeline.process(batch_id=oldest)
    Batch.objects.update(next_publish_at=clock.now())
    tasks.sweep_inbox()

    assert sent == [False, False, False]
    assert stored == oldest
    assert [batch.status for batch in Batch.objects.order_by("pk")] == ["STORED", "WAITING", "WAITING"]
    assert publishing.queue_length() == 2
