"""A Celery worker as a subprocess on the test session's own servers, with a database address of the test's choice."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.db import connection

from tests.crash.system import ROOT, descendants


def database_url(*, host: str | None = None, port: int | None = None) -> str:
    """The address of the test's database, by another way if one is given."""
    facts = connection.settings_dict
    user, password = quote(str(facts["USER"]), safe=""), quote(str(facts["PASSWORD"]), safe="")
    where = f"host={quote(host or str(facts['HOST']), safe='')}&port={port or facts['PORT'] or 5432}"
    return f"postgresql://{user}:{password}@/{quote(str(facts['NAME']), safe='')}?{where}"


def server_address() -> Path | tuple[str, int]:
    """Where the test's PostgreSQL listens."""
    host, port = str(connection.settings_dict["HOST"]), int(connection.settings_dict["PORT"] or 5432)
    return Path(host, f".s.PGSQL.{port}") if host.startswith("/") else (host, port)


@contextmanager
def worker(url: str, log: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker of one process on a database address until the end of ``with``."""
    command = [sys.executable, "-m", "celery", "-A", "tickhub", "worker", "--queues=batches", "--concurrency=1"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat", f"--hostname={log.stem}@%h"]
    names = {"DATABASE_URL": url, "REDIS_URL": settings.REDIS_URL, "DJANGO_SETTINGS_MODULE": "tickhub.settings"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--loglevel=WARNING"], cwd=ROOT, env=os.environ | names | more, stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        family = [process.pid, *(p.pid for p in descendants(process.pid))]
        for pid in reversed(family):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()
