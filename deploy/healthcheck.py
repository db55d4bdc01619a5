"""Tells a container engine whether a service works: healthcheck.py web | bridge | beat | poller. Exit code 0 or 1."""

import socket
import sys
import urllib.error
import urllib.request

import psycopg

from tickhub import env

_WEB = "http://127.0.0.1:8000/api/v1/health/"
_BRIDGE = "http://127.0.0.1:8001/health/"
_TIMEOUT_S = 5
# Beat writes when it last ran a task every three minutes.
_BEAT = "SELECT coalesce(max(last_run_at) > now() - interval '10 minutes', false) FROM django_celery_beat_periodictask"
_POLLER = "SELECT coalesce(bool_or(expires_at > clock_timestamp()), false) FROM ingest_lease WHERE holder LIKE %s"


def web() -> str:
    """Ask the web as the TLS proxy would; return what is wrong."""
    host = env.words("TICKHUB_ALLOWED_HOSTS", "127.0.0.1")[0]
    return _get(_WEB, {"Host": host, "X-Forwarded-Proto": "https"})


def bridge() -> str:
    """Ask the bridge; return what is wrong."""
    return _get(_BRIDGE, {})


def _get(url: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - a constant
    try:
        urllib.request.urlopen(request, timeout=_TIMEOUT_S).close()  # noqa: S310 - a constant
    except (urllib.error.URLError, OSError) as error:
        return f"{url}: {error}"
    return ""


def beat() -> str:
    """Ask the database whether beat has sent a task of late; return what is wrong."""
    return "" if _ask(_BEAT, []) else "beat has sent no task for 10 minutes"


def poller() -> str:
    """Ask the database whether this container holds a lease; return what is wrong."""
    return "" if _ask(_POLLER, [f"{socket.gethostname()} pid %"]) else "no lease that has not expired"


def _ask(statement: str, values: list[str]) -> bool:
    with psycopg.connect(env.secret("DATABASE_URL") or "", connect_timeout=_TIMEOUT_S) as connection:
        row = connection.execute(statement.encode(), values).fetchone()
    return bool(row and row[0])


CHECKS = {"web": web, "bridge": bridge, "beat": beat, "poller": poller}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in CHECKS:
        sys.exit(f"expected one of {', '.join(CHECKS)}")
    try:
        problem = CHECKS[sys.argv[1]]()
    except psycopg.Error as error:
        # Its message can hold the address, never the password.
        problem = f"database: {str(error).strip().splitlines()[0]}"
    sys.stdout.write((problem or "ok") + "\n")
    sys.exit(1 if problem else 0)
