"""Whatever is wrong with the input ends in one clear line that names the thing and the value, and exit code 2."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pytest_django
from django.conf import settings

from tests import running
from tests.builders import make_ticks
from tests.crash import workers
from tests.crash.system import ROOT
from tests.oracle import compare_export
from tickhub import exporting, launch
from tickhub.core.ticks import TICK_DTYPE
from tickhub.management.periods import EVER
from tickhub.reference import queries as reference
from tickhub.reference.models import Source

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.timeout(60)]

HEADER = "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>"


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, settings: pytest_django.Settings) -> Run:
    """Runs a command as manage.py does, in this process: a process of its own costs seconds each time."""
    monkeypatch.setenv("TICKHUB_CHECKED_BY", "0")
    # The log would go to this test's stderr for the rest of the session.
    settings.LOGGING_CONFIG = None

    def launched(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = launch.main(["manage.py", *arguments])
        return (code, *capsys.readouterr())

    return launched


def manage(*arguments: str, **more: str) -> tuple[int, str, str]:
    """Run a command in a process of its own, on the test's own database."""
    addresses = {"DATABASE_URL": workers.database_url(), "REDIS_URL": settings.REDIS_URL}
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    done = subprocess.run(
        command, env=os.environ | addresses | more, capture_output=True, text=True, timeout=50, check=False
    )
    return done.returncode, done.stdout, done.stderr


def assert_refused(ended: tuple[int, str, str], *words: str) -> None:
    """Exit code 2 and one line, on stderr, that holds all words."""
    code, out, err = ended
    assert (code, out, err.count("\n"), err[:7]) == (2, "", 1, "error: "), err
    assert [word for word in words if word not in err] == [], err


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
        (of_another_format_by_its_bytes, "is no .npz file"),
        (of_other_arrays, "60-byte MT5 ticks"),
        (export_without_a_line, "holds no good line"),
        (folder_without_a_recording, "holds no recording"),
    ],
)
def test_a_recording_that_cannot_be_played_is_named_with_its_fault(
    make: Callable[[Path], Path], reason: str, command: str, tmp_path: Path, run: Run
) -> None:
    path = make(tmp_path)

    assert_refused(run(command, "--source", f"replay:{path}"), str(path), reason)
    assert not Source.objects.exists()


@pytest.mark.parametrize("command", ["poll", "up"])
def test_a_process_of_its_own_ends_with_that_line_and_no_traceback(command: str, tmp_path: Path) -> None:
    ended = manage(command, "--source", f"replay:{missing(tmp_path)}")

    assert ended == (2, "", f"error: recording {tmp_path}/gone.npz: no such file\n")


def test_a_symbol_for_a_folder_of_recordings_is_refused(tmp_path: Path, run: Run) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(0, 1.1, 1.2)]))

    assert_refused(run("poll", "--source", f"replay:{tmp_path}?symbol=GBPUSD"), "symbol=GBPUSD", str(tmp_path))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("ftp:somewhere", ["'ftp:somewhere'", "unknown scheme"]),
        ("sim:?symbols=EURUSD#", ["sim:?symbols=EURUSD#", "fragment", "%23"]),
        ("sim:?rate=fast", ["rate=fast", "expected a number"]),
        ("sim:?rate=1&rate=2", ["rate=", "given twice"]),
        ("sim:?colour=red", ["colour="]),
        ("sim:?symbols=" + "X" * 31, ["X" * 31, "30"]),
        ("sim:?symbols=EURUSD,EURUSD", ["EURUSD", "given twice"]),
        ("replay:", ["replay:PATH"]),
        ("mt5:nowhere", ["mt5:nowhere"]),
    ],
)
def test_a_malformed_spec_is_named_with_its_fault(spec: str, words: list[str], run: Run) -> None:
    assert_refused(run("poll", "--source", spec), *words)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not a url", ["DATABASE_URL", "postgresql://user:password@host:port/name"]),
        ("postgresql://me:hidden@127.0.0.1:1/x", ["DATABASE_URL", "127.0.0.1:1/x", "refused"]),
        ("postgresql://me:hidden@nowhere.invalid/x", ["DATABASE_URL", "nowhere.invalid"]),
    ],
)
@pytest.mark.parametrize("command", ["poll", "up"])
def test_a_wrong_database_url_is_named_without_its_password(
    command: str, url: str, words: list[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    ended = run(command, "--source", "sim:")

    assert_refused(ended, *words)
    assert "hidden" not in ended[2]


def test_a_wrong_setting_is_named_with_its_value() -> None:
    ended = manage("poll", "--source", "sim:", TICKHUB_POLL_INTERVAL_MS="often")

    assert_refused(ended, "TICKHUB_POLL_INTERVAL_MS='often'", "whole number")


def test_an_unknown_symbol_of_an_export_is_named_with_those_that_are_known(tmp_path: Path, run: Run) -> None:
    source = tmp_path / "EURUSD.npz"
    np.savez(source, ticks=make_ticks([(0, 1.1, 1.2)]))
    running.capture(f"replay:{source}?speed=max")

    ended = run("export", "--symbol", "GBPUSD", "--out", str(tmp_path / "out.npz"))

    assert_refused(ended, "GBPUSD", "EURUSD")


def test_a_known_source_under_another_clock_is_refused(tmp_path: Path, run: Run) -> None:
    source = tmp_path / "EURUSD.npz"
    np.savez(source, ticks=make_ticks([(0, 1.1, 1.2)]))
    running.capture(f"replay:{source}?speed=max")

    ended = run("poll", "--source", f"replay:{source}?speed=max&clock=+03:00")

    assert_refused(ended, str(source), "clock", "+03:00")


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

    code, out, err = manage(command, "--source", f"replay:{source}?speed=max", "--until-drained", *ending)
    running.drain()

    assert code == 0, err
    shown = out + err
    assert [
        word for word in ("EURUSD_ticks.csv", "3 bad lines", "line 3", "line 8", "line 12") if word not in shown
    ] == []
    exported = tmp_path / "out.npz"
    feed = reference.one_feed(symbol="EURUSD", source=None)
    exporting.export(feed=feed, from_msc=EVER[0], to_msc=EVER[1], with_quarantined=False, out=exported)
    assert compare_export.compare(compare_export.load(exported), compare_export.load(clean)) == (0, 0)
