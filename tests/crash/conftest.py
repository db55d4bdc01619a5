"""A system for each crash test, and a recording made by hand for it to play."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.system import System

NewSystem = Callable[..., System]


@pytest.fixture
def new_system() -> Iterator[NewSystem]:
    """Makes systems with settings, each on a folder that every user can reach, and ends them after the test."""
    made: list[System] = []

    def make(**settings: str) -> System:
        path = Path(tempfile.mkdtemp(prefix="tickhub-test-", dir="/tmp"))
        path.chmod(0o711)
        made.append(System(path / "data", **settings))
        return made[-1]

    yield make
    for system in made:
        system.end()
        shutil.rmtree(system.data.parent, ignore_errors=True)
