"""Writes the part of requirements.lock that tickhub needs to run, hashes included, to stdout.

The lock also pins the tools of developers and the embedded servers, and says nothing of who needs whom. So this runs
where the whole lock is installed: the wheels' own metadata tell what the project's dependencies need.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
_ENTRY = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]+\])?==.*?(?=^[A-Za-z0-9]|\Z)", re.DOTALL | re.MULTILINE)


def closure(dependencies: Iterable[str]) -> set[str]:
    """Return the names of what is needed here to satisfy some requirements, directly or not.

    :raises importlib.metadata.PackageNotFoundError: if one of them is not installed
    """
    found: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), "") for text in dependencies]
    while waiting:
        requirement, wanting_extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": wanting_extra}):
            continue
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) not in found:
                found.add((name, extra))
                waiting += [(Requirement(text), extra) for text in metadata.requires(name) or ()]
    return {name for name, _ in found}


def select(lock: str, names: set[str]) -> str:
    """Return the entries of a lock for some packages, as they stand."""
    return "".join(match[0] for match in _ENTRY.finditer(lock) if canonicalize_name(match[1]) in names)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = closure(project["dependencies"])
    sys.stdout.write(select((ROOT / "requirements.lock").read_text(), needed))
