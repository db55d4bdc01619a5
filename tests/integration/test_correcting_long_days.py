"""A correction of a day with many batches: no limit meant for deaf clients ends it, no batch is left out."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from ingest import leases, sessions
from ingest.models import Batch
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.integration.test_correcting_cursors import correct, stored
from tickhub import reconcile
from tickhub.core.clock import HOUR_MS
from tickhub.correcting import days
from tickhub.reconcile import Scope

pytestmark = pytest.mark.usefixtures("database")

COPIES = 1_000


def captured_in_many_batches() -> Rig:
    """A tick captured, and its batch so many times again, each with an equal tick of its own seq."""
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(5, 1.0, 1.1)])
    rig.source.now_msc = NOON_MSC + 1000
    rig.poller.poll()
    running.drain()
    leases.release(rig.poller.lease)
    names = "source_id, status, poll_msc, captured_at, captured_on, tick_count, first_msc, last_msc, parts, outcome"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO ingest_batch ({names}, next_publish_at, stored_at, publish_count, failure)"
            f" SELECT {names}, next_publish_at, stored_at, 0, '' FROM ingest_batch, generate_series(1, %s)",
            [COPIES],
        )
        cursor.execute(
            "INSERT INTO tick (time_msc, batch_id, bid, ask, flags, feed_id, seq)"
            " SELECT t.time_msc, b.id, t.bid, t.ask, t.flags, t.feed_id, row_number() OVER (ORDER BY b.id)"
            " FROM tick t, ingest_batch b WHERE b.id > t.batch_id"
        )
    return rig


def assert_an_hour_earlier(rig: Rig) -> None:
    at_msc = NOON_MSC + 5 - HOUR_MS
    assert stored(rig) == [at_msc] * (COPIES + 1)
    assert set(Batch.objects.values_list("first_msc", "last_msc")) == {(at_msc, at_msc)}
    report = reconcile.reconcile(Scope(is_deep=True))
    assert (report.captured, report.stored, report.differences) == (COPIES + 1, COPIES + 1, [])


def test_day_of_many_batches_outlasts_the_limits_of_idle_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = captured_in_many_batches()
    monkeypatch.setattr(days, "BATCHES_AT_ONCE", 700)
    with connection.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = '20ms'")

    correct("+01:00")

    assert_an_hour_earlier(rig)


def test_sweeper_does_not_take_a_correction_for_a_deaf_client() -> None:
    rig = captured_in_many_batches()

    with sweeping_all_the_time():
        correct("+01:00")

    assert_an_hour_earlier(rig)


@contextmanager
def sweeping_all_the_time() -> Iterator[None]:
    """End every session of tickhub that is idle in its transaction, from another thread."""
    is_over = threading.Event()

    def sweep() -> None:
        while not is_over.is_set():
            sessions.end_deaf(statement_ms=30_000, idle_ms=0)
        connection.close()

    thread = threading.Thread(target=sweep)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def limits() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('application_name'), current_setting('statement_timeout'),"
            " current_setting('idle_in_transaction_session_timeout')"
        )
        return list(cursor.fetchone())


def test_long_work_takes_its_time_and_the_next_statement_does_not() -> None:
    before = limits()

    with sessions.long_work(name="a trial"):
        within = limits()

    assert before == ["tickhub", "30s", "20s"]
    assert within == ["tickhub a trial", "0", "10min"]
    assert limits() == before
