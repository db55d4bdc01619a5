"""Folders for embedded servers, and what the kernel says about their processes."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tickhub.embedded.folder import DataFolder
from tickhub.embedded.servers import Servers


@pytest.fixture
def data_path() -> Iterator[Path]:
    """A folder that every user can reach (pytest's own lie below one that is closed to others)."""
    path = Path(tempfile.mkdtemp(prefix="tickhub-test-", dir="/tmp"))
    path.chmod(0o711)
    yield path / "data"
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def begun_path() -> Iterator[Path]:
    """A folder whose servers have run once."""
    path = Path(tempfile.mkdtemp(prefix="tickhub-test-", dir="/tmp"))
    with Servers(DataFolder(path), command="test", given={}):
        pass
    yield path
    shutil.rmtree(path)


@pytest.fixture
def folder(data_path: Path, begun_path: Path) -> DataFolder:
    """A begun folder of one's own: copying one is faster than initdb."""
    subprocess.run(["cp", "-a", begun_path, data_path], check=True)
    return DataFolder(data_path)


def wait_for(condition: Callable[[], bool], *, within_s: float = 10) -> bool:
    """Return whether the condition came true in time."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def family(pid: int) -> list[int]:
    """Return a process and its children."""
    return [pid, *(int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _parent(entry) == pid)]


def are_gone(pids: list[int]) -> bool:
    """Return whether none of the processes runs (a zombie does not)."""
    return all(_state(Path("/proc", str(pid))) in ("", "Z", "X") for pid in pids)


def _stat(entry: Path) -> list[str]:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["", "0"]


def _state(entry: Path) -> str:
    return _stat(entry)[0]


def _parent(entry: Path) -> int:
    return int(_stat(entry)[1])


is_root = os.geteuid() == 0
