"""docker-compose.yml follows the specification, names only what it declares, and runs only what exists."""

import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[3]
PATH = ROOT / "docker-compose.yml"

Compose = dict[str, Any]  # Any: YAML


@pytest.fixture
def compose() -> Compose:
    loaded: Compose = yaml.safe_load(PATH.read_text())
    return loaded


def schema_refusal(path: Path) -> str:
    """Return what the compose specification has against a file, nothing where it is valid."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def undeclared(compose: Compose) -> list[str]:
    """Return every name of a service, volume, network or secret that is used and not declared."""
    found = []
    for service, value in compose["services"].items():
        named = [
            mount.split(":")[0] for mount in value.get("volumes", ()) if not mount.startswith((".", "/", "~", "$"))
        ]
        for kind, names in (
            ("services", value.get("depends_on", ())),
            ("volumes", named),
            ("networks", value.get("networks", ())),
            ("secrets", value.get("secrets", ())),
        ):
            found += [f"{service}: {kind} {name}" for name in names if name not in compose.get(kind, {})]
        environment = value.get("environment", {})
        mounted = [text for text in environment.values() if str(text).startswith("/run/secrets/")]
        found += [f"{service}: {path}" for path in mounted if Path(path).name not in value.get("secrets", ())]
    return found


def own(compose: Compose) -> dict[str, list[list[str]]]:
    """Return the command lines of the services that run our image, those of a shell one by one."""
    found = {}
    for service, value in compose["services"].items():
        if "build" in value and "command" in value:
            command = value["command"]
            lines = command[2].split("&&") if command[:2] == ["sh", "-c"] else [shlex.join(command)]
            found[service] = [shlex.split(line) for line in lines]
    return found


def is_known(line: list[str]) -> bool:
    """Return whether a command line starts a module, a command of manage.py or a script that exists."""
    if line[:2] == ["python", "-m"]:
        return importlib.util.find_spec(line[2]) is not None
    if line[:2] == ["python", "manage.py"]:
        return line[2] in get_commands()
    return line[0] == "python" and (ROOT / line[1]).is_file()


def test_the_file_follows_the_compose_specification() -> None:
    assert schema_refusal(PATH) == ""


def test_a_misspelt_key_is_refused(tmp_path: Path) -> None:
    faulty = tmp_path / "docker-compose.yml"
    faulty.write_text(PATH.read_text().replace("start_period: 60s", "start_periode: 60s"))

    assert "start_periode" in schema_refusal(faulty)


def test_every_name_is_declared(compose: Compose) -> None:
    assert undeclared(compose) == []


def test_an_undefined_dependency_is_found(compose: Compose) -> None:
    compose["services"]["web"]["depends_on"] = {"postgress": {"condition": "service_healthy"}}

    assert undeclared(compose) == ["web: services postgress"]


def test_an_undeclared_volume_is_found(compose: Compose) -> None:
    compose["services"]["redis"]["volumes"] = ["rediss:/data"]

    assert undeclared(compose) == ["redis: volumes rediss"]


def test_a_secret_that_is_not_mounted_is_found(compose: Compose) -> None:
    compose["services"]["postgres"]["secrets"] = []

    assert undeclared(compose) == ["postgres: /run/secrets/postgres_password"]


def test_every_command_exists(compose: Compose) -> None:
    lines = own(compose)

    assert sorted(lines) == ["beat", "bridge", "migrate", "notifier", "poller", "worker"]
    assert [line for service in lines.values() for line in service if not is_known(line)] == []


def test_an_unknown_command_is_found() -> None:
    assert not is_known(["python", "manage.py", "bridgee"])
    assert not is_known(["python", "-m", "celeryy"])


def test_every_service_that_stays_has_a_health_check(compose: Compose) -> None:
    # The web's is in the Dockerfile.
    without = [name for name, value in compose["services"].items() if "test" not in value.get("healthcheck", {})]

    assert sorted(without) == ["migrate", "web"]
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()


def test_no_service_runs_as_root(compose: Compose) -> None:
    users = {name: value.get("user") for name, value in compose["services"].items()}

    assert users.pop("postgres") == "postgres"
    assert users.pop("redis") == "redis"
    assert set(users.values()) == {"10001:10001"}


def test_every_port_is_bound_to_loopback(compose: Compose) -> None:
    ports = {name: value["ports"] for name, value in compose["services"].items() if "ports" in value}

    assert ports == {"web": ["127.0.0.1:8000:8000"], "bridge": ["127.0.0.1:8001:8001"]}


def test_no_password_stands_in_the_environment(compose: Compose) -> None:
    environments = [value.get("environment", {}) for value in compose["services"].values()]
    names = {name for environment in environments for name in environment}

    secret = {name for name in names if any(word in name for word in ("PASSWORD", "SECRET", "_URL"))}
    assert secret == {"DATABASE_URL_FILE", "POSTGRES_PASSWORD_FILE", "REDIS_URL_FILE", "TICKHUB_SECRET_KEY_FILE"}


def test_durability_is_left_on() -> None:
    text = PATH.read_text()

    assert not any(f"{name}=" in text for name in ("fsync", "full_page_writes", "synchronous_commit"))


def test_every_setting_in_the_environment_is_read_by_the_code(compose: Compose) -> None:
    given = {name for value in compose["services"].values() for name in value.get("environment", {})}
    described = (ROOT / "docs" / "settings.md").read_text()

    unknown = {name for name in given if name.removesuffix("_FILE") not in described}
    assert unknown == {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE", "POSTGRES_INITDB_ARGS"}
