"""Workers that are killed, cut off or given up in the midst of a batch: nothing of it is left, and it waits."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.conf import settings
from django.db import DatabaseError, connection

from ingest.models import Batch
from quality.checks import prices
from quality.models import QuarantinedTick
from storage import partitions, tick_writer
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import make_rig
from tests.crash import workers
from tests.crash.system import ROOT
from tests.integration.embedded.conftest import wait_for
from tests.piping import GOOD, NAN, Quotes, capture, causes, quotes, stored
from tickhub import pipeline
from tickhub.core import clock
from tickhub.core.ticks import Mask, Ticks

pytestmark = pytest.mark.usefixtures("database")

CLAIMING = ("batch_payload", "FOR UPDATE OF b")
TELLING = ("quality_finding", "INSERT INTO quality_finding")


@contextmanager
def worker_caught(batch_id: int, *, table: str, statement: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a worker for one batch in a process of its own and hold it inside a statement of its transaction.

    Gives the process and the id of its session; both may go on at the end of ``with``.
    """
    script = f"from tickhub import pipeline; pipeline.process(batch_id={batch_id})"
    command = [sys.executable, str(ROOT / "manage.py"), "shell", "-v", "0", "--no-imports", "-c", script]
    addresses = {"DATABASE_URL": workers.database_url(), "REDIS_URL": settings.REDIS_URL}
    waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
    day = clock.day_of(NOON_MSC)
    # Its partition is there before, and outside, the transaction that is caught.
    partitions.ensure([day], earliest_day=day, latest_day=day)
    with (
        psycopg.connect(workers.database_url()) as locking,
        psycopg.connect(workers.database_url(), autocommit=True) as watching,
    ):
        locking.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        with subprocess.Popen(command, env=os.environ | addresses, stderr=subprocess.DEVNULL) as process:
            found: list[tuple[int, ...]] = []

            def is_caught() -> bool:
                found[:] = watching.execute(waits, [f"%{statement}%"]).fetchall()
                return bool(found)

            assert wait_for(is_caught, within_s=30)
            yield process, found[0][0]
            locking.rollback()


# A tick that has to be held makes the worker go the careful way, which copies.
@pytest.mark.parametrize(("table", "statement"), [CLAIMING, ("tick", "COPY tick"), TELLING])
def test_a_worker_killed_inside_its_transaction_leaves_nothing_behind(table: str, statement: str) -> None:
    rig = make_rig("EURUSD")
    shown: Quotes = [(0, 1.1, 1.2), (1, 1.3, 1.2), (2, NAN, 1.2)]
    batch_id = capture(rig, make_ticks(shown))

    with worker_caught(batch_id, table=table, statement=statement) as (process, _):
        process.send_signal(signal.SIGKILL)

    assert wait_for(lambda: pipeline.process(batch_id=batch_id) == batch_id, within_s=10)
    assert quotes(stored(rig)) == shown[:2]
    assert QuarantinedTick.objects.count() == 1
    assert causes() == {"CROSSED": 1, "NOT_FINITE": 1}


@pytest.mark.parametrize(("table", "statement"), [CLAIMING, ("tick", "INSERT INTO tick"), TELLING])
def test_a_session_that_the_server_ends_fails_no_batch(table: str, statement: str) -> None:
    rig = make_rig("EURUSD")
    batch_id = capture(rig, make_ticks([*GOOD, (9, 1.3, 1.2)]))

    with worker_caught(batch_id, table=table, statement=statement) as (process, session), connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [session])

    assert process.returncode == 1
    assert (Batch.objects.get().status, Batch.objects.get().failure) == ("WAITING", "")
    assert causes() == {}


# Few ticks are inserted, many are copied: the server's word comes by another statement.
@pytest.mark.parametrize("count", [3, tick_writer.INSERT_ROWS_MAX + 1])
def test_a_worker_that_the_server_has_given_up_waiting_for_fails_no_batch(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig("EURUSD")
    shown: Quotes = [(msc, 1.1, 1.2) for msc in range(count)]
    batch_id = capture(rig, make_ticks(shown))
    check = prices.crossed
    with connection.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = 100")
        cursor.execute("SELECT pg_backend_pid()")
        (session,) = cursor.fetchone()

    def is_ended() -> bool:
        with psycopg.connect(workers.database_url()) as watching:
            return not watching.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [session]).fetchall()

    def crossed_too_late(ticks: Ticks) -> Mask:
        assert wait_for(is_ended, within_s=10)
        return check(ticks)

    monkeypatch.setattr(prices, "crossed", crossed_too_late)
    with pytest.raises(DatabaseError):
        pipeline.process(batch_id=batch_id)
    connection.close()
    monkeypatch.undo()

    assert (Batch.objects.get().status, Batch.objects.get().failure) == ("WAITING", "")
    assert pipeline.process(batch_id=batch_id) == batch_id
    assert quotes(stored(rig)) == shown
