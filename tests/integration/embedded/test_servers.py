"""The embedded servers: what survives, what is refused, what a kill leaves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis

from tests.integration.embedded.conftest import are_gone, family, is_root, wait_for
from tickhub.core.errors import UsageError
from tickhub.embedded import server
from tickhub.embedded.folder import DataFolder
from tickhub.embedded.servers import Servers

# Starts the servers of a folder, says so, and waits to be killed.
HOLDER = """
import json, signal, sys
from tickhub.embedded.folder import DataFolder
from tickhub.embedded.servers import Servers
servers = Servers(DataFolder(sys.argv[1]), command="holder", given={})
servers.start()
print(json.dumps({"postgres": servers.postgres.pid, "valkey": servers.valkey.pid}), flush=True)
signal.pause()
"""


def servers_of(folder: DataFolder) -> Servers:
    return Servers(folder, command="test", given={})


def put(servers: Servers, key: str) -> None:
    urls = servers.environment()
    with psycopg.connect(urls["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (key text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [key])
    with redis.Redis.from_url(urls["REDIS_URL"]) as client:
        client.rpush("kept", key)
        # appendfsync everysec: wait until it is on disk, as a publisher that cares would.
        client.waitaof(1, 0, 5000)


def kept(servers: Servers) -> tuple[list[str], list[str]]:
    urls = servers.environment()
    with psycopg.connect(urls["DATABASE_URL"]) as connection:
        rows = [row[0] for row in connection.execute("SELECT key FROM kept ORDER BY key").fetchall()]
    with redis.Redis.from_url(urls["REDIS_URL"], decode_responses=True) as client:
        return rows, list(client.lrange("kept", 0, -1))


def pids_of(servers: Servers) -> tuple[int, int]:
    assert servers.postgres is not None
    assert servers.valkey is not None
    assert servers.postgres.pid is not None
    assert servers.valkey.pid is not None
    return servers.postgres.pid, servers.valkey.pid


def kill_valkey(servers: Servers) -> None:
    valkey = servers.valkey
    assert valkey is not None
    os.kill(pids_of(servers)[1], signal.SIGKILL)
    assert wait_for(lambda: valkey.poll() is not None)


def test_data_survives_a_restart(folder: DataFolder) -> None:
    with servers_of(folder) as servers:
        put(servers, "a")

    with servers_of(folder) as servers:
        assert kept(servers) == (["a"], ["a"])


def test_durability_is_on(folder: DataFolder) -> None:
    with servers_of(folder) as servers, psycopg.connect(servers.environment()["DATABASE_URL"]) as connection:
        names = ["fsync", "full_page_writes", "synchronous_commit"]
        values = [connection.execute(f"SHOW {name}").fetchone() for name in names]

    assert values == [("on",), ("on",), ("on",)]


def test_a_folder_in_use_is_refused_and_its_user_named(folder: DataFolder) -> None:
    with servers_of(folder) as servers:
        with pytest.raises(UsageError) as refusal:
            servers_of(folder).start()

        put(servers, "still running")
        assert folder.servers_path.exists()
    assert str(refusal.value) == (
        f"data folder {folder.path} is in use by process {os.getpid()} (test): stop it, or choose another --data-dir"
    )


def test_stopping_leaves_no_process_lock_address_or_pid_file(folder: DataFolder) -> None:
    servers = servers_of(folder)
    with servers:
        pids = [pid for parent in pids_of(servers) for pid in family(parent)]

    assert are_gone(pids)
    left = {path.name for path in folder.path.iterdir()}
    assert left == {
        "postgres",
        "valkey",
        "postgres.log",
        "valkey.log",
        "postgres.password",
        "valkey.password",
    }
    assert not (folder.path / "postgres" / "postmaster.pid").exists()


def test_killed_servers_are_started_again_with_the_same_urls_and_data(folder: DataFolder) -> None:
    with servers_of(folder) as servers:
        put(servers, "a")
        urls = servers.environment()
        assert servers.postgres is not None
        assert servers.valkey is not None
        for child in (servers.postgres, servers.valkey):
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            assert wait_for(lambda child=child: child.poll() is not None)  # type: ignore[misc]  # bound now

        lines = servers.ensure_alive()

        servers.postgres.wait_ready(30)
        servers.valkey.wait_ready(30)
        assert kept(servers) == (["a"], ["a"])
        assert servers.environment() == urls
        assert lines == ["postgres died (signal 9): started again", "valkey died (signal 9): started again"]
        assert servers.ensure_alive() == []


def test_servers_end_with_their_killed_parent_and_the_folder_is_free_at_once(folder: DataFolder) -> None:
    command = [sys.executable, "-c", HOLDER, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        started = json.loads(holder.stdout.readline())
        orphans = family(started["postgres"]) + family(started["valkey"])
        holder.kill()

    with servers_of(folder) as servers:
        put(servers, "a")

        assert kept(servers) == (["a"], ["a"])
        assert wait_for(lambda: are_gone(orphans))


def test_servers_end_with_their_killed_parent_when_nobody_follows(folder: DataFolder) -> None:
    command = [sys.executable, "-c", HOLDER, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        started = json.loads(holder.stdout.readline())
        orphans = family(started["postgres"]) + family(started["valkey"])
        holder.kill()

    assert len(orphans) > 2
    assert wait_for(lambda: are_gone(orphans), within_s=10)


def test_a_server_that_dies_again_soon_waits_for_its_next_start(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_BACK_OFF_S", (60.0, 60.0))
    with servers_of(folder) as servers:
        kill_valkey(servers)
        first = servers.ensure_alive()
        kill_valkey(servers)
        second = servers.ensure_alive()

    assert (first, second) == (["valkey died (signal 9): started again"], [])


def test_two_folders_run_at_once(folder: DataFolder) -> None:
    other = DataFolder(folder.path.with_name("other"))

    with servers_of(folder) as first, servers_of(other) as second:
        put(first, "first")
        put(second, "second")

        assert kept(first) == (["first"], ["first"])
        assert kept(second) == (["second"], ["second"])


def test_a_path_too_long_for_a_socket_works(data_path: Path) -> None:
    folder = DataFolder(data_path / ("long-" * 12) / ("and odd 'name\"" * 3))

    with servers_of(folder) as servers:
        put(servers, "a")

        assert kept(servers) == (["a"], ["a"])
    assert not list(folder.path.glob("socket*"))


def test_a_server_that_is_given_is_not_started(data_path: Path) -> None:
    folder = DataFolder(data_path)

    with Servers(folder, command="test", given={"DATABASE_URL": "postgresql://elsewhere/x"}) as servers:
        assert servers.postgres is None
        assert servers.environment()["DATABASE_URL"] == "postgresql://elsewhere/x"
        assert not (folder.path / "postgres").exists()


def test_a_stale_pid_file_of_a_living_stranger_does_not_refuse_the_start(folder: DataFolder) -> None:
    with servers_of(folder):
        pass
    stale = f"{os.getpid()}\n{folder.path / 'postgres'}\n1700000000\n5432\n/tmp\n\n"
    (folder.path / "postgres" / "postmaster.pid").write_text(stale)

    with servers_of(folder) as servers:
        put(servers, "a")

        assert kept(servers)[0] == ["a"]


def test_a_lost_password_ends_in_a_line_that_names_the_file(folder: DataFolder) -> None:
    with servers_of(folder):
        pass
    (folder.path / "postgres.password").unlink()

    with pytest.raises(
        UsageError, match=r"postgres\.password: not the password of .*/postgres, put the right one back"
    ):
        servers_of(folder).start()

    assert not folder.lock_path.exists()


def test_the_servers_do_not_run_as_root(folder: DataFolder) -> None:
    with servers_of(folder) as servers:
        users = {Path("/proc", str(pid)).stat().st_uid for pid in pids_of(servers)}

    assert 0 not in users


def test_nobody_else_can_read_addresses_passwords_and_data(folder: DataFolder) -> None:
    with servers_of(folder):
        secret = [
            "servers.json",
            "postgres.password",
            "valkey.password",
            "postgres",
            "valkey",
            "valkey/valkey.conf",
        ]
        modes = {name: (folder.path / name).stat().st_mode & 0o077 for name in secret}

    assert modes == dict.fromkeys(secret, 0)


@pytest.mark.skipif(not is_root, reason="only root runs the servers as another user")
def test_a_folder_below_a_closed_one_works_for_root(data_path: Path) -> None:
    closed = data_path.parent / "closed"
    closed.mkdir(mode=0o700)
    folder = DataFolder(closed / "data")
    first = servers_of(folder)
    try:
        with first:
            put(first, "a")
        with servers_of(folder) as second:
            assert kept(second) == (["a"], ["a"])
        assert len(first.notes) == 1
        assert f"cannot enter {closed}" in first.notes[0]
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        folder.delete()


@pytest.mark.skipif(not is_root, reason="only root runs the servers as another user")
def test_a_closed_folder_of_root_is_opened_for_passing_only(data_path: Path) -> None:
    data_path.mkdir(mode=0o700)

    with servers_of(DataFolder(data_path)) as servers:
        put(servers, "a")

    assert data_path.stat().st_mode & 0o777 == 0o711
