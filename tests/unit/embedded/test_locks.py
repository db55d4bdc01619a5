"""The lock of a data folder."""

from pathlib import Path

import pytest

from tickhub.embedded.locks import FolderBusy, FolderLock


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "lock"), FolderLock(tmp_path / "lock")
    first.take(command="first")

    with pytest.raises(FolderBusy, match=r"in use by process \d+ \(first\)"):
        second.take(command="second")

    first.release()
    second.take(command="second")
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_nobody_holds_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text('{"pid": 1, "command": "dead"}')
    lock = FolderLock(tmp_path / "lock")

    lock.take(command="test")

    assert lock.is_held
    lock.release()
