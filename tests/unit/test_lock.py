"""What is locked is what uv obeys and what is installed, and the lock names no place to download from."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text()


def lock_entries() -> list[str]:
    """Return the entries of the lock, each with its hashes in one line."""
    joined = LOCK.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


def pins() -> list[Requirement]:
    return [Requirement(entry.split("--hash")[0].strip()) for entry in lock_entries()]


def as_written(requirement: Requirement) -> tuple[str, str, str]:
    return requirement.name, str(requirement.specifier), str(requirement.marker or "")


def test_the_constraints_that_uv_obeys_are_the_lock() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    constraints = [as_written(Requirement(text)) for text in tool["constraint-dependencies"]]

    assert sorted(constraints) == sorted(as_written(pin) for pin in pins())


def test_what_is_installed_is_what_is_locked() -> None:
    wanted = {pin.name: str(pin.specifier) for pin in pins() if pin.marker is None or pin.marker.evaluate()}
    installed = {name: f"=={metadata.version(name)}" for name in wanted}

    assert installed == wanted


def test_every_entry_is_one_exact_version_with_hashes() -> None:
    bad = [
        entry for entry in lock_entries() if not re.fullmatch(r"[^ ]+==[^ ]+.*?( +--hash=sha256:[0-9a-f]{64})+", entry)
    ]

    assert bad == []


def test_the_lock_names_no_index_and_no_address() -> None:
    assert re.findall(r"https?:|://|@ |--index|--extra-index|--find-links|--trusted-host", LOCK) == []
