"""A small disk of its own for the servers: a file system in memory, where that can be mounted."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small(path: Path, *, size_mb: int) -> Iterator[str | None]:
    """Mount a file system on a folder; give None, or the reason why it could not be mounted."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0711", "tickhub-torture", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        problem = done.stderr.strip() if done.returncode else None
    except OSError as error:
        problem = str(error)
    if problem is not None:
        yield f"a file system cannot be mounted here: {problem}"
        return
    try:
        yield None
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)  # noqa: S607  # found as any other program


def free_mb(path: Path) -> int:
    """Return the free room of the disk that holds a path."""
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize >> 20


def fill(ballast: Path, *, leave_mb: int) -> None:
    """Fill a disk with one file until so much is free."""
    with ballast.open("ab") as file:
        size = max(free_mb(ballast.parent) - leave_mb, 0) << 20
        # What others write meanwhile may take the last of it.
        with contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), file.tell(), size)
