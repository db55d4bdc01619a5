"""Releases of quarantined ticks that are killed, made twice at once, or meet a correction of the clock."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction

from quality.models import QuarantinedTick
from tests import running
from tests.builders import make_ticks
from tests.crash.system import ROOT
from tests.crash.workers import database_url
from tickhub import reconcile
from tickhub.audit.models import Entry
from tickhub.core import clock
from tickhub.quarantine import decisions
from tickhub.reconcile import Scope
from tickhub.reference import corrections
from tickhub.reference.models import ClockCorrection, Source

pytestmark = pytest.mark.usefixtures("database")

RELEASE = """
import sys, django
django.setup()
from tickhub.quarantine import decisions
decisions.release(row_ids=[int(text) for text in sys.argv[1:]], reason="a test", actor="killed")
"""


@pytest.fixture
def held(tmp_path: Path) -> list[int]:
    """Play a recording with two negative prices; return the ids of the ticks held."""
    shown = make_ticks([(0, 1.1, 1.2), (5, -1.1, 1.2), (6, -1.1, 1.2), (9, 1.1, 1.3)])
    np.savez(tmp_path / "EURUSD.npz", ticks=shown)
    running.capture(f"replay:{tmp_path / 'EURUSD.npz'}?symbol=EURUSD&speed=max")
    running.drain()
    return list(QuarantinedTick.objects.order_by("id").values_list("pk", flat=True))


def assert_counts(*, stored: int, quarantined: int) -> None:
    report = reconcile.reconcile(Scope(is_deep=True))
    assert (report.lost, report.stored_twice, report.differences) == (0, 0, [])
    assert (report.stored, report.quarantined) == (stored, quarantined)


@contextmanager
def nobody_writes_audit_entries() -> Iterator[psycopg.Connection[object]]:
    """Stop every release behind the writing of its ticks and before its end."""
    with psycopg.connect(database_url()) as other:
        other.execute("LOCK TABLE audit_entry IN EXCLUSIVE MODE")
        yield other
        other.rollback()


def wait_for(condition: Callable[[], bool]) -> None:
    until_s = clock.monotonic_s() + 20
    while not condition():
        assert clock.monotonic_s() < until_s, "it did not come about"
        clock.sleep(0.01)


def waiting_for_a_lock() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(cursor.fetchone()[0])


def test_a_release_killed_in_the_midst_leaves_nothing_and_can_be_made_again(held: list[int]) -> None:
    names = {"DATABASE_URL": database_url(), "REDIS_URL": settings.REDIS_URL}
    environment = os.environ | names | {"DJANGO_SETTINGS_MODULE": "tickhub.settings"}
    command = [sys.executable, "-c", RELEASE, *map(str, held)]

    with nobody_writes_audit_entries():
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        wait_for(lambda: waiting_for_a_lock() == 1)
        process.kill()
        process.wait()

    assert_counts(stored=2, quarantined=2)
    assert decisions.release(row_ids=held, reason="again", actor="night shift").done == 2
    assert_counts(stored=4, quarantined=0)
    assert Entry.objects.get(action="TICKS_RELEASED").actor == "night shift"


def test_of_two_releases_at_once_one_stores_the_ticks_and_the_other_says_so(held: list[int]) -> None:
    def release(actor: str) -> decisions.Decided:
        try:
            return decisions.release(row_ids=held, reason="a test", actor=actor)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        with nobody_writes_audit_entries():
            both = [threads.submit(release, actor) for actor in ("one", "two")]
            wait_for(lambda: waiting_for_a_lock() == 2)
        first, second = sorted((future.result() for future in both), key=lambda decided: decided.done)

    assert (first.done, second.done) == (0, 2)
    assert [line.endswith("it is RELEASED already") for line in first.refused] == [True, True]
    assert_counts(stored=4, quarantined=0)


def test_a_key_taken_in_the_midst_of_a_release_refuses_it_and_the_next_one_gets_another_seq(held: list[int]) -> None:
    row = QuarantinedTick.objects.get(pk=held[0])

    def release() -> decisions.Decided:
        try:
            return decisions.release(row_ids=held[:1], reason="a test", actor="night shift")
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads, psycopg.connect(database_url()) as other:
        other.execute(
            "INSERT INTO tick (time_msc, batch_id, bid, flags, feed_id, seq) VALUES (%s, %s, 1.5, 6, %s, %s)",
            [row.time_msc, row.batch_id + 1, row.feed_id, row.seq],
        )
        first = threads.submit(release)
        # It has found the key free, and waits to know whether it is.
        wait_for(lambda: waiting_for_a_lock() == 1)
        other.commit()

    (line,) = first.result().refused
    assert line.startswith(f"batch {row.batch_id}, none of 1 ticks, try again: duplicate key value")
    assert release().refused == []
    assert QuarantinedTick.objects.get(pk=held[0]).stored_seq == row.seq + 1


def test_a_correction_of_the_clock_waits_for_a_release_under_way(held: list[int]) -> None:
    source = Source.objects.get()
    correction = ClockCorrection(source=source, epochs_before=[], epochs_after=[], made=[], days=[])

    def begin() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '100ms'")
                corrections.begin(correction=correction)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads, transaction.atomic():
        corrections.hold_off(source=source)
        with pytest.raises(OperationalError, match="lock timeout"):
            threads.submit(begin).result()


def test_a_proof_meets_a_tick_once_that_is_released_between_its_reads(held: list[int]) -> None:
    def prove() -> reconcile.Report:
        try:
            return reconcile.reconcile(Scope(is_deep=True))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads, psycopg.connect(database_url()) as other:
        other.execute("LOCK TABLE quality_quarantinedtick IN ACCESS EXCLUSIVE MODE")
        proof = threads.submit(prove)
        # It has read the tick table and waits for the quarantine.
        wait_for(lambda: waiting_for_a_lock() == 1)
        other.execute(
            "INSERT INTO tick (time_msc, batch_id, bid, ask, flags, feed_id, seq) SELECT time_msc, batch_id, -1.1, 1.2,"
            " 6, feed_id, seq FROM quality_quarantinedtick"
        )
        other.execute("UPDATE quality_quarantinedtick SET state = 'RELEASED'")
        other.commit()

    assert proof.result().differences == []
