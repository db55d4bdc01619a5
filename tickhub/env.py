"""Reads settings from the environment and refuses what it cannot parse."""

import datetime as dt
import os
from pathlib import Path

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from tickhub.core import textfiles
from tickhub.core.clock import DAY_MS
from tickhub.core.errors import UsageError


def text(name: str, default: str | None = None) -> str:
    """Return a variable's text.

    :raises UsageError: if it is missing and has no default
    """
    value = os.environ.get(name, default)
    if value is None:
        msg = f"{name} is not set"
        raise UsageError(msg)
    return value


def secret(name: str) -> str | None:
    """Return a secret from ``NAME``, or from the file that ``NAME_FILE`` names; None where neither is set.

    :raises UsageError: if the file cannot be read or is empty
    """
    path = os.environ.get(f"{name}_FILE")
    if path is None:
        return os.environ.get(name)
    try:
        value = textfiles.read(Path(path)).strip()
    except OSError as error:
        msg = f"{name}_FILE={path}: {error.strerror}"
        raise UsageError(msg) from error
    except ValueError as error:
        msg = f"{name}_FILE={path}: {error}"
        raise UsageError(msg) from error
    if not value:
        msg = f"{name}_FILE={path}: the file is empty"
        raise UsageError(msg)
    return value


def integer(name: str, default: int, *, least: int, most: int) -> int:
    """Return a whole number within bounds.

    :raises UsageError: if it is none, or outside the bounds
    """
    raw = os.environ.get(name)
    if raw is None:
        return default
    try:
        value = int(raw)
    except ValueError:
        msg = f"{name}={raw!r}: expected a whole number"
        raise UsageError(msg) from None
    if not least <= value <= most:
        msg = f"{name}={value}: expected {least} to {most}"
        raise UsageError(msg)
    return value


def choice(name: str, default: str, options: tuple[str, ...]) -> str:
    """Return one of a few words.

    :raises UsageError: if it is none of them
    """
    value = os.environ.get(name, default)
    if value not in options:
        msg = f"{name}={value!r}: expected one of {', '.join(options)}"
        raise UsageError(msg)
    return value


def day(name: str, default: str) -> int:
    """Return a UTC day as the milliseconds of its begin.

    :raises UsageError: if it is no ISO date
    """
    value = text(name, default)
    try:
        date = dt.date.fromisoformat(value)
    except ValueError:
        msg = f"{name}={value!r}: expected a day like 1990-01-01"
        raise UsageError(msg) from None
    return (date - dt.date(1970, 1, 1)).days * DAY_MS


def folder(name: str) -> str | None:
    """Return the path of a folder that exists, None where it is not set.

    :raises UsageError: if there is none
    """
    value = os.environ.get(name)
    if value is not None and not Path(value).is_dir():
        msg = f"{name}={value!r}: no such folder"
        raise UsageError(msg)
    return value


def words(name: str, default: str) -> list[str]:
    """Return a comma-separated list without blanks and empty items."""
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def database(name: str) -> dict[str, str]:
    """Return the parts of a libpq URL, ``postgresql://user:password@host:port/name?option=value``.

    An unset variable gives a database that cannot be reached, for the commands that need none.

    :raises UsageError: if the URL cannot be read; the message never shows the password
    """
    url = secret(name)
    if url is None:
        return {"host": "database-url-is-not-set.invalid", "dbname": "none"}
    if not url.startswith(("postgresql://", "postgres://")):
        msg = f"{name}: expected postgresql://user:password@host:port/name"
        raise UsageError(msg)
    try:
        parts = conninfo_to_dict(url)
    except ProgrammingError:
        # libpq's own message quotes the piece it cannot read, which may be the password.
        msg = f"{name} cannot be read: expected postgresql://user:password@host:port/name, special characters as %XX"
        raise UsageError(msg) from None
    return {key: str(value) for key, value in parts.items() if value is not None}
