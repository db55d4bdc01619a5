"""A worker whose connection to the database goes deaf inside its transaction loses its batch to another worker."""

from pathlib import Path

import psycopg
import pytest
from pytest_django import Settings

from ingest.models import Batch
from storage import partitions, reader, tick_writer
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import make_rig
from tests.crash import workers
from tests.integration.embedded.conftest import wait_for
from tickhub import publishing, tasks
from tickhub.bench.torture.proxy import FaultProxy
from tickhub.core import clock
from tickhub.core import ticks as tick_arrays
from tickhub.management.periods import EVER

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.timeout(90)]


def is_waiting_for(table: str, connection: psycopg.Connection[tuple[int]]) -> bool:
    """Whether a statement on a table waits for a lock."""
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s", [f"%{table}%"]
    ).fetchone()
    return row is not None and row[0] > 0


# Either all of a small batch is on its way already, or the server waits for the client in the middle of COPY, where it
# obeys no timeout.
@pytest.mark.parametrize(
    ("table", "statement", "count"),
    [("quality_finding", "INSERT INTO quality_finding", 3), ("tick", "COPY", tick_writer.INSERT_ROWS_MAX + 1)],
)
def test_a_deaf_worker_loses_its_batch_to_another(
    table: str, statement: str, count: int, tmp_path: Path, settings: Settings
) -> None:
    settings.PUBLISH_AGAIN_MS = 500
    settings.STATEMENT_TIMEOUT_MS = settings.IDLE_TRANSACTION_TIMEOUT_MS = 2000
    rig = make_rig("EURUSD")
    crossed = make_ticks([(0, 1.1, 1.2), (0, 1.3, 1.2), *((i, 1.1, 1.2) for i in range(1, count - 1))])
    rig.terminal.history["EURUSD"] = crossed
    rig.source.now_msc += count
    rig.poller.poll()
    timeouts = {"TICKHUB_STATEMENT_TIMEOUT_MS": "20000", "TICKHUB_IDLE_TRANSACTION_TIMEOUT_MS": "2000"}

    with (
        FaultProxy(workers.server_address()) as proxy,
        workers.worker(
            workers.database_url(host="127.0.0.1", port=proxy.port), tmp_path / "deaf.log", **timeouts
        ) as deaf,
        psycopg.connect(workers.database_url(), autocommit=True) as watching,
    ):
        # The worker makes partitions before its transaction, which is to be caught.
        partitions.ensure([clock.day_of(NOON_MSC)], earliest_day=0, latest_day=clock.day_of(clock.now_msc()))
        with psycopg.connect(workers.database_url()) as locking:
            locking.execute(f"LOCK TABLE {table} IN SHARE MODE".encode())
            publishing.publish_many([rig.published[0]])
            assert wait_for(lambda: is_waiting_for(statement, watching), within_s=30), (
                tmp_path / "deaf.log"
            ).read_text()
            proxy.deafen()
        with workers.worker(workers.database_url(), tmp_path / "other.log"):

            def is_stored() -> bool:
                tasks.sweep_inbox()
                return Batch.objects.get().status == Batch.Status.STORED

            assert wait_for(is_stored, within_s=60), (tmp_path / "other.log").read_text()
        assert deaf.poll() is None

    stored = reader.read(feed_id=rig.feeds["EURUSD"].pk, from_msc=EVER[0], to_msc=EVER[1])
    assert tick_arrays.same(stored.ticks, crossed)
