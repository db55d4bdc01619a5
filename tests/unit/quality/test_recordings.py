"""Recordings judged in memory, by hand and on the real ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command

from ingest.sources import recording as recording_files
from quality import recordings
from quality.inspection import Limits
from tests.builders import NOON_MSC, make_facts, make_ticks
from tests.conftest import recording
from tickhub import launch
from tickhub.core import clock
from tickhub.core.errors import UsageError
from tickhub.core.ticks import BATCH_TICKS_MAX

LIMITS = Limits(earliest_msc=631_152_000_000, future_tolerance_ms=0)
LATER_MSC = NOON_MSC + 86_400_000


def test_each_flag_of_a_recording_is_counted_over_all_its_batches() -> None:
    rows = [(place, 1.1, 1.2) for place in range(BATCH_TICKS_MAX + 10)]
    rows[5] = (5, 1.3, 1.2)
    rows[BATCH_TICKS_MAX + 5] = (BATCH_TICKS_MAX + 5, 1.3, 1.2)
    rows[-1] = (0, 1.1, 1.2)
    told: list[int] = []

    report = recordings.judge(
        make_ticks(rows), facts=make_facts(), limits=LIMITS, now_msc=LATER_MSC, progress=told.append
    )

    assert (report.rows, report.flags["CROSSED"], report.flags["LATE"]) == (65_546, 2, 1)
    assert report.rates()["CROSSED"] == 30.5
    assert told == [65_536, 65_546]


def test_every_row_behind_the_newest_before_it_is_late_not_only_the_step_back() -> None:
    ticks = make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.2), (3, 1.1, 1.2), (4, 1.1, 1.2), (5, 1.1, 1.2), (6, 1.1, 1.2)])

    assert recordings.judge(ticks, facts=make_facts(), limits=LIMITS, now_msc=LATER_MSC).flags == {"LATE": 2}


def test_more_ticks_of_one_millisecond_than_have_numbers_are_unstorable() -> None:
    ticks = make_ticks([(0, 1.1, 1.2)] * 32_770)

    assert recordings.judge(ticks, facts=make_facts(), limits=LIMITS, now_msc=LATER_MSC).flags["UNSTORABLE"] == 3


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

    report = recordings.judge(loaded.ticks, facts=facts, limits=LIMITS, now_msc=LATER_MSC)

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
    assert capsys.readouterr().out == "USDJPY.npz: 1 rows; nothing flagged; 0 gaps; score 100.0\n"


def test_the_command_needs_no_database_and_takes_recordings_only() -> None:
    assert not launch.needs_servers("quality_report", ["manage.py", "quality_report", "--source", "replay:x"])
    with pytest.raises(UsageError, match="source sim:: expected replay:PATH"):
        call_command("quality_report", "--source", "sim:")


@pytest.mark.parametrize(("rule", "flags"), [("UTC", {"OUT_OF_SESSION": 2}), ("NY%2B7", {})])
def test_the_clock_of_the_spec_tells_when_a_session_is(
    rule: str, flags: dict[str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The last two minutes of the week: Friday 17:00 in New York is midnight of the broker's clock, and 21:00 UTC.
    friday_msc = clock.parse("2026-07-10T23:58:00Z")
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(0, 1.1, 1.2), (119_999, 1.1, 1.2)], start_msc=friday_msc))

    call_command("quality_report", "--source", f"replay:{tmp_path / 'EURUSD.npz'}?clock={rule}", "--json")

    assert json.loads(capsys.readouterr().out)["flags"] == flags


@pytest.mark.parametrize(
    ("name", "gaps", "longest_s", "weekends"),
    # As counted when the recordings were collected: over 60 s, outside weekends.
    [
        ("eurusd_fxcm_201405", 507, 389, 2),
        ("eurusd_oanda_201405", 970, 387, 2),
        ("xauusd_oanda_20140502_05", 26, 2760, 1),
    ],
)
def test_the_gaps_of_real_recordings_are_those_counted_by_others(
    name: str, gaps: int, longest_s: int, weekends: int, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("quality_report", "--source", f"replay:{recording(f'{name}.npz')}", "--json")

    report = json.loads(capsys.readouterr().out)
    assert (report["gaps"], report["longest_gap_ms"] // 1000, report["weekends"]) == (gaps, longest_s, weekends)


def test_what_is_missing_of_an_unknown_session_lowers_the_score() -> None:
    # A tick each second for ten minutes, thirty minutes of nothing, ten minutes again: 30 of 50 minutes are missing.
    seconds = [*range(601), *range(2_400, 3_001)]
    ticks = make_ticks([(second * 1_000, 1.1 + second % 7 / 1000, 1.2 + second % 7 / 1000) for second in seconds])

    report = recordings.judge(ticks, facts=make_facts(), limits=LIMITS, now_msc=LATER_MSC)

    assert (report.silences.count, report.silences.longest_ms, report.silences.weekends) == (1, 1_800_000, 0)
    assert (report.examined.session_ms, report.examined.missing_ms) == (3_000_000, 1_800_000)
    assert report.score.parts["completeness"] == pytest.approx(0.4)
