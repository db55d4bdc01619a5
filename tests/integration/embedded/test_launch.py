"""manage.py finds or starts the servers that a command needs, and refuses bad addresses in one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.embedded.conftest import wait_for
from tickhub.embedded.folder import DataFolder
from tickhub.embedded.servers import Servers

MANAGE = str(Path(__file__).parents[3] / "manage.py")
SHOW_URL = "import os; print(os.environ['DATABASE_URL'])"


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    return kept | more


def manage(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, MANAGE, *arguments]
    return subprocess.run(command, env=environment(**more), capture_output=True, text=True, timeout=120, check=False)


def test_a_command_starts_the_servers_of_its_folder_and_stops_them(folder: DataFolder) -> None:
    script = "from django.contrib.auth.models import User; print(User.objects.count())"

    done = manage("shell", "-v", "0", "--data-dir", str(folder.path), "-c", script)

    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    assert not folder.lock_path.exists()
    assert not folder.servers_path.exists()
    assert not (folder.path / "postgres" / "postmaster.pid").exists()


def test_a_command_uses_the_running_servers_of_its_folder(folder: DataFolder) -> None:
    with Servers(folder, command="test", given={}) as servers:
        done = manage("shell", "-v", "0", "--no-imports", f"--data-dir={folder.path}", "-c", SHOW_URL)

        assert (done.returncode, done.stdout) == (0, servers.environment()["DATABASE_URL"] + "\n")
        assert servers.ensure_alive() == []


def test_a_second_up_on_a_folder_is_refused_in_one_line(folder: DataFolder) -> None:
    with Servers(folder, command="manage.py up", given={}):
        done = manage("up", f"--data-dir={folder.path}")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: data folder {folder.path} is in use by process {os.getpid()} (manage.py up):"
        " stop it, or choose another --data-dir\n"
    )


def test_sigterm_stops_the_servers_that_a_command_started(folder: DataFolder) -> None:
    command = [sys.executable, MANAGE, "shell", "--no-imports", f"--data-dir={folder.path}", "-c"]
    with subprocess.Popen([*command, "import signal; signal.pause()"], env=environment()) as running:
        assert wait_for(folder.servers_path.exists, within_s=60)
        running.send_signal(signal.SIGTERM)
        status = running.wait(20)

    assert status == 128 + signal.SIGTERM
    assert not folder.lock_path.exists()
    assert not (folder.path / "postgres" / "postmaster.pid").exists()


@pytest.mark.parametrize(
    ("name", "url", "message"),
    [
        (
            "DATABASE_URL",
            "postgresql://me:hidden@127.0.0.1:1/x",
            "DATABASE_URL postgresql://me@127.0.0.1:1/x: ",
        ),
        ("DATABASE_URL", "hidden", "DATABASE_URL cannot be read: expected postgresql://"),
        ("REDIS_URL", "redis://:hidden@127.0.0.1:1/0", "REDIS_URL redis://127.0.0.1:1: "),
        ("REDIS_URL", "hidden", "REDIS_URL cannot be read: expected redis://"),
    ],
)
def test_a_bad_address_ends_in_one_line_without_the_password(name: str, url: str, message: str) -> None:
    done = manage("migrate", **{name: url})

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert "hidden" not in done.stderr


def test_a_child_of_a_command_that_has_checked_the_addresses_starts_while_a_server_is_away() -> None:
    urls = {"DATABASE_URL": "postgresql://me@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}
    script = ["shell", "-v", "0", "--no-imports", "-c", "print('started')"]

    done = manage(*script, **urls, TICKHUB_CHECKED_BY=str(os.getpid()))

    assert (done.returncode, done.stdout) == (0, "started\n")


def test_a_data_folder_that_is_a_file_is_named(data_path: Path) -> None:
    data_path.touch()

    done = manage("migrate", f"--data-dir={data_path}")

    assert (done.returncode, done.stderr) == (
        2,
        f"error: data folder {data_path}: is a file, expected a folder\n",
    )


def test_help_starts_no_server(data_path: Path) -> None:
    done = manage("migrate", "--help", TICKHUB_DATA_DIR=str(data_path))

    assert done.returncode == 0
    assert not data_path.exists()
