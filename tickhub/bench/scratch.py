"""Throw-away databases for benchmarks, on the running server, so that no bench touches anybody's ticks."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import redis
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from psycopg import sql

from storage import latest, partitions
from tickhub import checks, env
from tickhub.core.errors import UsageError

_TEMPLATE, _WORK = "tickhub_bench_template", "tickhub_bench"
_REDIS_DATABASE = 9


def environment(database: str = _WORK) -> dict[str, str]:
    """Return DATABASE_URL and REDIS_URL of the throw-away databases, for child processes."""
    redis_url = urlsplit(_address("REDIS_URL"))._replace(path=f"/{_REDIS_DATABASE}").geturl()
    return {"DATABASE_URL": _url(database), "REDIS_URL": redis_url}


def _address(name: str) -> str:
    """Return an address that is given directly or by file; the launcher has seen to it that there is one."""
    url = env.secret(name)
    if url is None:
        msg = f"{name} is not set"
        raise UsageError(msg)
    return url


def _url(database: str) -> str:
    parts = urlsplit(_address("DATABASE_URL"))
    # Written out: a URL without a host keeps its two slashes only so.
    return f"{parts.scheme}://{parts.netloc}/{database}?{parts.query}"


def connect(database: str = _WORK, *, autocommit: bool = False) -> "psycopg.Connection[tuple[object, ...]]":
    """Open a bare connection to a throw-away database."""
    return psycopg.connect(_url(database), autocommit=autocommit)


@contextmanager
def databases() -> Iterator[None]:
    """Make the template, point this process at the working copy, and drop everything at the end.

    :raises UsageError: if the server would lose what it has committed
    """
    own = settings.DATABASES["default"]["NAME"]
    redis_url = settings.REDIS_URL
    _recreate(_TEMPLATE, template=None)
    _use(_TEMPLATE, environment()["REDIS_URL"])
    call_command("migrate", verbosity=0, interactive=False)
    faults = checks.durability_faults()
    try:
        if faults:
            raise UsageError("the figures would mean nothing: " + "; ".join(faults))
        yield
    finally:
        _use(own, redis_url)
        for name in (_WORK, _TEMPLATE, "tickhub_bench_ceiling"):
            _drop(name)


def renew(name: str = _WORK, *, template: str = _TEMPLATE) -> None:
    """Replace a throw-away database by a fresh copy of a template, and start from a checkpoint."""
    connection.close()
    _recreate(name, template=template)
    url = environment()["REDIS_URL"]
    redis.Redis.from_url(url).flushdb()
    _use(name, url)
    partitions.forget()
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")


def _use(name: str, redis_url: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name
    settings.REDIS_URL = redis_url
    latest.forget_client()


def _drop(name: str) -> None:
    with psycopg.connect(_address("DATABASE_URL"), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _recreate(name: str, *, template: str | None) -> None:
    _drop(name)
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(template or "template1")
    )
    with psycopg.connect(_address("DATABASE_URL"), autocommit=True) as admin:
        admin.execute(statement)
