"""A small disk of its own for a test: a file system in memory, mounted by root."""

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(size_mb: int) -> Iterator[Path]:
    """Mount an empty file system of a size; the test is skipped where that is not permitted."""
    path = Path(tempfile.mkdtemp(prefix="tickhub-test-", dir="/tmp"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0711", "tickhub-test", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        problem = done.stderr.strip() if done.returncode else ""
    except FileNotFoundError as error:
        problem = str(error)
    if problem:
        path.rmdir()
        pytest.skip(f"a file system cannot be mounted here: {problem}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
        shutil.rmtree(path, ignore_errors=True)


def free_mb(path: Path) -> int:
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize >> 20


def fill(path: Path, *, leave_mb: int) -> Path:
    """Fill a disk with one file until so much is free; return the file."""
    ballast = path / "ballast"
    with ballast.open("ab") as file:
        while (size := max(free_mb(path) - leave_mb, 0) << 20) > 0:
            try:
                os.posix_fallocate(file.fileno(), file.tell(), size)
            except OSError as error:
                # Others write meanwhile: what was free is less by now.
                if error.errno != errno.ENOSPC:
                    raise
            else:
                break
    return ballast
