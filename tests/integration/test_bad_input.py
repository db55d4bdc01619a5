"""Whatever is wrong with the input ends in one clear line that names the thing and the value, and exit code 2."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

from tests import running
from tests.builders import make_ticks
from tests.crash import workers
from tests.crash.system import ROOT
from tests.oracle import compare_export
from tickhub import exporting
from tickhub.core.ticks import TICK_DTYPE
from tickhub.management.periods import EVER
from tickhub.reference import queries as reference
from tickhub.reference.models import Source

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.timeout(60)]

HEADER = "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>"


def manage(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the test's own database."""
    addresses = {"DATABASE_URL": workers.database_url(), "REDIS_URL": settings.REDIS_URL}
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(
        command, env=os.environ | addresses | more, capture_output=True, text=True, timeout=50, check=False
    )


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """One line, on stderr, that holds all words."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    assert [word for word in words if word not in done.stderr] == [], done.stderr


def missing(folder: Path) -> Path:
    return folder / "gone.npz"


def of_another_format(folder: Path) -> Path:
    path = folder / "picture.png"
    path.write_bytes(b"\x89PNG\r\n")
    return path


def of_another_format_by_its_bytes(folder: Path) -> Path:
    path = folder / "EURUSD.npz"
    path.write_bytes(b"%PDF-1.7 and so on")
    return path


def truncated(folder: Path) -> Path:
    path = folder / "EURUSD.npz"
    np.savez(path, ticks=make_ticks([(n, 1.1, 1.2) for n in range(1000)]))
    path.write_bytes(path.read_bytes()[:30_000])
    return path


def empty(folder: Path) -> Path:
    path = folder / "EURUSD.npz"
    np.savez(path, ticks=np.zeros(0, dtype=TICK_DTYPE))
    return path


def of_other_arrays(folder: Path) -> Path:
    path = folder / "EURUSD.npz"
    np.savez(path, ticks=np.zeros(5))
    return path


def export_without_a_good_line(folder: Path) -> Path:
    path = folder / "EURUSD.csv"
    path.write_text(f"{HEADER}\nyesterday\tnoon\t1\t2\t\t\t6\n")
    return path


def export_without_a_line(folder: Path) -> Path:
    path = folder / "EURUSD.csv"
    path.write_text(f"{HEADER}\n")
    return path


def folder_without_a_recording(folder: Path) -> Path:
    path = folder / "none"
    path.mkdir()
    (path / "notes.txt").touch()
    return path


@pytest.mark.parametrize("command", ["poll", "up"])
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (missing, "no such file"),
        (of_another_format, ".npz, .csv or .tsv"),
        (truncated, "truncated"),
        (empty, "holds no ticks"),
        (export_without_a_good_line, "holds no good line"),
    ],
)
def test_a_recording_that_cannot_be_played_is_named_with_its_fault(
    make: Callable[[Path], Path], reason: str, command: str, tmp_path: Path
) -> None:
    path = make(tmp_path)

    done = manage(command, "--source", f"replay:{path}")

    assert_refused(done, str(path), reason)
    assert not Source.objects.exists()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (of_another_format_by_its_bytes, "is no .npz file"),
        (of_other_arrays, "60-byte MT5 ticks"),
        (export_without_a_line, "holds no good line"),
        (folder_without_a_recording, "holds no recording"),
    ],
)
def test_another_recording_that_cannot_be_played_is_named_too(
    make: Callable[[Path], Path], reason: str, tmp_path: Path
) -> None:
    path = make(tmp_path)

    assert_refused(manage("poll", "--source", f"replay:{path}"), str(path), reason)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("ftp:somewhere", ["'ftp:somewhere'", "unknown scheme"]),
        ("sim:?symbols=EURUSD#", ["sim:?symbols=EURUSD#", "fragment", "%23"]),
        ("sim:?rate=fast", ["rate=fast", "expected a number"]),
        ("sim:?rate=1&rate=2", ["rate=", "given twice"]),
        ("sim:?colour=red", ["colour="]),
        ("sim:?symbols=" + "X" * 31, ["X" * 31, "30"]),
        ("sim:?symbols=NO/SUCH SYMBOL", ["NO/SUCH SYMBOL"]),
        ("replay:", ["replay:PATH"]),
        ("mt5:nowhere", ["mt5:nowhere"]),
    ],
)
def test_a_malformed_spec_is_named_with_its_fault(spec: str, words: list[str]) -> None:
    assert_refused(manage("poll", "--source", spec), *words)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not a url", ["DATABASE_URL", "postgresql://user:password@host:port/name"]),
        ("postgresql://me:hidden@127.0.0.1:1/x", ["DATABASE_URL", "127.0.0.1:1/x", "refused"]),
        ("postgresql://me:hidden@nowhere.invalid/x", ["DATABASE_URL", "nowhere.invalid"]),
    ],
)
@pytest.mark.parametrize("command", ["poll", "up"])
def test_a_wrong_database_url_is_named_without_its_password(command: str, url: str, words: list[str]) -> None:
    done = manage(command, "--source", "sim:", DATABASE_URL=url)

    assert_refused(done, *words)
    assert "hidden" not in done.stderr


def test_a_wrong_setting_is_named_with_its_value() -> None:
    done = manage("poll", "--source", "sim:", TICKHUB_POLL_INTERVAL_MS="often")

    assert_refused(done, "TICKHUB_POLL_INTERVAL_MS='often'", "whole number")


def test_an_unknown_symbol_of_an_export_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    source = tmp_path / "EURUSD.npz"
    np.savez(source, ticks=make_ticks([(0, 1.1, 1.2)]))
    running.capture(f"replay:{source}?speed=max")

    done = manage("export", "--symbol", "GBPUSD", "--out", str(tmp_path / "out.npz"))

    assert_refused(done, "GBPUSD", "EURUSD")


def test_a_known_source_under_another_clock_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "EURUSD.npz"
    np.savez(source, ticks=make_ticks([(0, 1.1, 1.2)]))
    running.capture(f"replay:{source}?speed=max")

    done = manage("poll", "--source", f"replay:{source}?speed=max&clock=+03:00")

    assert_refused(done, str(source), "clock", "10800000")


@pytest.mark.parametrize("command", ["poll", "up"])
def test_of_a_partly_bad_export_every_good_line_is_kept_and_every_bad_one_counted_and_shown(
    command: str, tmp_path: Path
) -> None:
    good = [f"2026.03.02\t12:00:0{n}.000\t1.1000{n}\t1.1001{n}\t\t\t6" for n in range(8)]
    bad = ["2026.03.02\tnoon\t1\t2\t\t\t6", "2026.03.02\t12:00:03.500\tmany\t2\t\t\t6", "half a line"]
    source = tmp_path / "EURUSD_ticks.csv"
    source.write_text("\r\n".join([HEADER, good[0], bad[0], *good[1:5], bad[1], *good[5:], bad[2]]) + "\r\n")
    clean = tmp_path / "clean.csv"
    clean.write_text("\n".join([HEADER, *good]))
    ending = ["--http", "127.0.0.1:18753", "--data-dir", str(tmp_path / "data")] if command == "up" else []

    done = manage(command, "--source", f"replay:{source}?speed=max", "--until-drained", *ending)
    running.drain()

    assert done.returncode == 0, done.stderr
    shown = done.stdout + done.stderr
    assert [
        word for word in ("EURUSD_ticks.csv", "3 bad lines", "line 3", "line 8", "line 12") if word not in shown
    ] == []
    out = tmp_path / "out.npz"
    feed = reference.one_feed(symbol="EURUSD", source=None)
    exporting.export(feed=feed, from_msc=EVER[0], to_msc=EVER[1], with_quarantined=False, out=out)
    assert compare_export.compare(compare_export.load(out), compare_export.load(clean)) == (0, 0)
