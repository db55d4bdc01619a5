"""Recordings judged in memory, by hand and on the real ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command

from ingest.sources import recording as recording_files
from quality import recordings
from quality.inspection import Limits
from tests.builders import make_facts, make_ticks
from tests.conftest import recording
from tickhub import launch
from tickhub.core.errors import UsageError
from tickhub.core.ticks import BATCH_TICKS_MAX

LIMITS = Limits(earliest_msc=631_152_000_000, future_tolerance_ms=0)


def test_each_flag_of_a_recording_is_counted_over_all_its_batches() -> None:
    rows = [(place, 1.1, 1.2) for place in range(BATCH_TICKS_MAX + 10)]
    rows[5] = (5, 1.3, 1.2)
    rows[BATCH_TICKS_MAX + 5] = (BATCH_TICKS_MAX + 5, 1.3, 1.2)
    rows[-1] = (0, 1.1, 1.2)
    told: list[int] = []

    report = recordings.judge(make_ticks(rows), facts=make_facts(), limits=LIMITS, progress=told.append)

    assert (report.rows, report.flags["CROSSED"], report.flags["LATE"]) == (65_546, 2, 1)
    assert report.rates()["CROSSED"] == 30.5
    assert told == [65_536, 65_546]


def test_every_row_behind_the_newest_before_it_is_late_not_only_the_step_back() -> None:
    ticks = make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.2), (3, 1.1, 1.2), (4, 1.1, 1.2), (5, 1.1, 1.2), (6, 1.1, 1.2)])

    assert recordings.judge(ticks, facts=make_facts(), limits=LIMITS).flags == {"LATE": 2}


def test_more_ticks_of_one_millisecond_than_have_numbers_are_unstorable() -> None:
    ticks = make_ticks([(0, 1.1, 1.2)] * 32_770)

    assert recordings.judge(ticks, facts=make_facts(), limits=LIMITS).flags["UNSTORABLE"] == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("eurusd_fxcm_201405.npz", {"CROSSED": 116_871, "LOCKED": 142_462}),
        ("aig_nyse_quotes_trades_20131009.npz", {"CROSSED": 2_386, "LOCKED": 22_863, "NO_BID": 98, "NO_ASK": 99}),
    ],
)
def test_the_dirt_measured_by_others_is_found_exactly(name: str, expected: dict[str, int]) -> None:
    loaded = recording_files.load(recording(name))
    facts = make_facts(digits=recording_files.digits(loaded.ticks))

    report = recordings.judge(loaded.ticks, facts=facts, limits=LIMITS)

    assert {flag: report.flags.get(flag, 0) for flag in expected} == expected


def test_the_command_writes_one_object_for_each_recording_of_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(0, 1.12345, 1.12345), (1, 1.2, 1.12345)]))
    np.savez(tmp_path / "USDJPY.npz", ticks=make_ticks([(0, 150.125, 150.126)]))
    (tmp_path / "notes.txt").touch()

    call_command("quality_report", "--source", f"replay:{tmp_path}", "--rates", "--json")

    out, err = capsys.readouterr()
    first, second = (json.loads(line) for line in out.splitlines())
    assert (first["recording"], first["rows"], first["flags"]) == ("EURUSD.npz", 2, {"CROSSED": 1, "LOCKED": 1})
    assert first["per_million"] == {"CROSSED": 500_000.0, "LOCKED": 500_000.0}
    assert (second["symbol"], second["digits"], second["flags"]) == ("USDJPY", 3, {})
    assert "skipped notes.txt: is no recording" in err
    call_command("quality_report", "--source", f"replay:{tmp_path}/USDJPY.npz")
    assert capsys.readouterr().out == "USDJPY.npz: 1 rows; nothing flagged\n"


def test_the_command_needs_no_database_and_takes_recordings_only() -> None:
    assert not launch.needs_servers("quality_report", ["manage.py", "quality_report", "--source", "replay:x"])
    with pytest.raises(UsageError, match="source sim:: expected replay:PATH"):
        call_command("quality_report", "--source", "sim:")
