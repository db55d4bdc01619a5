"""Who runs the servers: an ordinary user himself, root's other user from binaries that he can reach."""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.embedded.conftest import is_root
from tickhub.embedded import binaries, owner
from tickhub.embedded.owner import Owner

# Everything is imported before the change of user: he may not be able to read the interpreter's files.
AS_NOBODY = """
import encodings.idna, os, pwd, sys
import psycopg, redis
from tickhub.embedded import reachable
from tickhub.embedded.folder import DataFolder
from tickhub.embedded.servers import Servers
user = pwd.getpwnam("nobody")
os.setgroups([]); os.setgid(user.pw_gid); os.setuid(user.pw_uid)
for _ in range(2):
    with Servers(DataFolder(sys.argv[1]), command="test", given={}) as servers:
        reachable.check(servers.environment())
print(sorted(os.listdir(sys.argv[1])))
"""

pytestmark = pytest.mark.skipif(not is_root, reason="only root can become another user")


def somebody() -> Owner:
    entry = pwd.getpwnam("nobody")
    return Owner(entry.pw_name, entry.pw_uid, entry.pw_gid, switches=True)


def test_an_ordinary_user_runs_the_servers_himself(data_path: Path) -> None:
    if somebody().barrier(Path(binaries.postgres_programs())) is not None:
        pytest.skip("the binaries lie below a folder that user nobody cannot enter")
    data_path.mkdir()
    os.chown(data_path, somebody().uid, somebody().gid)

    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(data_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    left = ["postgres", "postgres.log", "postgres.password", "valkey", "valkey.log", "valkey.password"]
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{left}\n", "")


def test_binaries_that_the_user_cannot_reach_are_copied_once_and_run(
    data_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = data_path.parent / "closed"
    closed.mkdir(mode=0o700)
    site = closed / "site-packages"
    package = binaries.postgres_programs().parents[1]
    for name in ("bin", "lib", "share"):
        shutil.copytree(package / "pginstall" / name, site / package.name / "pginstall" / name)
    libraries = f"{package.name}.libs"
    shutil.copytree(package.with_name(libraries), site / libraries)
    (site / package.name / "__init__.py").touch()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(binaries, "SHARED_PATH", data_path / "shared")

    found = binaries.postgres_bin(somebody(), spare=data_path)

    assert found.is_relative_to(data_path / "shared" / "binaries")
    assert binaries.postgres_bin(somebody(), spare=data_path) == found
    assert len(list((data_path / "shared" / "binaries").iterdir())) == 1
    for program in ("postgres", "initdb"):
        done = subprocess.run(
            [found / program, "--version"], user="nobody", cwd="/", capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{program} (PostgreSQL) 16.14\n"


def test_a_folder_that_belongs_to_a_user_is_run_as_that_user(data_path: Path) -> None:
    data_path.mkdir()
    os.chown(data_path, somebody().uid, somebody().gid)

    assert owner.of_folder(data_path) == somebody()
