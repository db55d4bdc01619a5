"""Asks the servers that DATABASE_URL and REDIS_URL name whether they answer, without ever showing a password."""

from collections.abc import Mapping

import psycopg
import redis
from psycopg.conninfo import conninfo_to_dict
from redis.backoff import NoBackoff
from redis.retry import Retry

from tickhub.core.errors import UsageError

_TIMEOUT_S = 5


def check(urls: Mapping[str, str]) -> None:
    """Connect to each of them once.

    :raises UsageError: if a URL cannot be read or its server does not answer
    """
    if "DATABASE_URL" in urls:
        check_database(urls["DATABASE_URL"])
    if "REDIS_URL" in urls:
        check_redis(urls["REDIS_URL"])


def check_database(url: str) -> None:
    """Connect to a PostgreSQL.

    :raises UsageError: if the URL cannot be read or the server does not answer
    """
    target = _database_target(url)
    try:
        # libpq tries each address that a name has; the options of the settings are not needed for that.
        psycopg.connect(url, connect_timeout=_TIMEOUT_S).close()
    except psycopg.Error as error:
        raise UsageError(f"DATABASE_URL {target}: {_first_line(error)}") from None


def _database_target(url: str) -> str:
    """Return the URL without its password.

    :raises UsageError: if it cannot be read
    """
    scheme, _, rest = url.partition("://")
    unreadable = UsageError(
        "DATABASE_URL cannot be read: expected postgresql://user:password@host:port/name, special characters"
        " of the password percent-encoded"
    )
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise unreadable from None
    host, port, user = (str(parts.get(name) or "") for name in ("host", "port", "user"))
    # An "@", ":" or "/" in the password moves the rest of it into host or port: show neither then.
    spilled = "@" in host or (port and not port.replace(",", "").isdigit()) or ("@" in rest and not user)
    if scheme not in ("postgresql", "postgres") or spilled:
        raise unreadable
    at = f"{user}@" if user else ""
    return f"postgresql://{at}{host}{':' if port else ''}{port}/{parts.get('dbname') or ''}"


def check_redis(url: str) -> None:
    """Ping a Redis or Valkey.

    :raises UsageError: if the URL cannot be read or the server does not answer
    """
    try:
        client = redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
    except (ValueError, TypeError):
        raise UsageError(
            "REDIS_URL cannot be read: expected redis://user:password@host:port/0, special characters of the"
            " password percent-encoded"
        ) from None
    arguments = client.connection_pool.connection_kwargs
    target = str(arguments.get("path") or f"{arguments.get('host')}:{arguments.get('port')}")
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        raise UsageError(f"REDIS_URL redis://{target}: {_first_line(error)}") from None
    finally:
        client.close()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(",. ")
