"""A heartbeat is a sign for others: what keeps it from being written does not end capture."""

import logging
from pathlib import Path

import pytest

from ingest import heartbeat


def test_a_beat_that_cannot_be_written_is_told_once_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setenv(heartbeat.VARIABLE, str(tmp_path / "absent" / "heartbeat"))

    heartbeat.beat(extra_s=60)
    heartbeat.beat(extra_s=60)
    told = [record.getMessage() for record in caplog.records]
    (tmp_path / "absent").mkdir()
    heartbeat.beat(extra_s=60)

    assert told == ["heartbeat not written"]
    assert (tmp_path / "absent" / "heartbeat").read_text().split()[1] == "60.0"
