"""A correction of a clock killed in the midst: the state is told, capture refuses, and the same command ends it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection, transaction

from tests import running
from tests.crash.system import MANAGE, ROOT, waited_for
from tests.crash.workers import database_url
from tests.integration.test_clock_corrections import (
    around,
    assert_told,
    capture,
    correct,
    is_clean,
    spec,
)
from tests.integration.test_clocks import SPRING_MSC, ticks_at
from tickhub import exporting, reconcile
from tickhub.core.clock import DAY_MS
from tickhub.core.errors import UsageError
from tickhub.management.periods import EVER
from tickhub.reconcile import Scope
from tickhub.reference import queries as reference
from tickhub.reference.models import ClockCorrection

pytestmark = pytest.mark.usefixtures("database")


def start() -> subprocess.Popen[bytes]:
    names = {"DATABASE_URL": database_url(), "REDIS_URL": settings.REDIS_URL}
    return subprocess.Popen(
        [sys.executable, MANAGE, "correct_clock", "--source=broker", "--clock=NY+7"],
        cwd=ROOT,
        env=os.environ | names,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("days", [0, 1, 3])
def test_correction_killed_in_the_midst_is_told_and_gone_on_with(days: int, tmp_path: Path) -> None:
    utc = around(SPRING_MSC, 60)
    ticks = ticks_at(utc, SPRING_MSC, 2, 3)
    capture(tmp_path, "+02:00", ticks)
    with transaction.atomic():
        # The next day cannot delete this row: it waits, in the midst of its transaction.
        lock_a_tick(int(utc[0]) // DAY_MS + days)
        process = start()
        try:
            waited_for(lambda: is_waiting(days) or None, within_s=60)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    begun = ClockCorrection.objects.get()
    report = reconcile.reconcile(Scope(is_deep=True))
    assert (begun.state, begun.days_done) == ("RUNNING", days)
    assert (report.captured, report.stored, report.lost, report.differences) == (len(utc), len(utc), None, [])
    assert "run `manage.py correct_clock --source broker --resume`" in report.unavailable[0]
    with pytest.raises(UsageError, match="a correction of its clock is not finished"):
        running.capture(f"{spec(tmp_path, '+02:00', ticks)}&speed=max")
    with pytest.raises(UsageError, match="a correction of its clock is not finished"):
        export(tmp_path)
    figures = correct()

    assert_told(tmp_path, utc, SPRING_MSC)
    assert is_clean()
    assert figures["ticks"] == len(utc)
    assert running.capture(f"{spec(tmp_path, 'NY+7', ticks)}&speed=max") == 0


def lock_a_tick(day: int) -> None:
    """Lock a row of a day in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM tick WHERE time_msc >= %s AND time_msc < %s LIMIT 1 FOR UPDATE",
            [day * DAY_MS, (day + 1) * DAY_MS],
        )
        assert cursor.fetchone() is not None


def is_waiting(days: int) -> bool:
    """Whether so many days are done and the next one waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        waiting = cursor.fetchone()[0]
    return waiting > 0 and ClockCorrection.objects.filter(days_done=days).exists()


def export(folder: Path) -> None:
    exporting.export(
        feed=reference.one_feed(symbol="BTCUSD", source=None),
        from_msc=EVER[0],
        to_msc=EVER[1],
        with_quarantined=False,
        out=folder / "half.npz",
    )
