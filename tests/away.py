"""A database that fails statements, as seen by Django's own connection."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connection


@contextmanager
def away(
    part: str, *, times: int, error: type[DatabaseError] | type[InterfaceError] = OperationalError
) -> Iterator[list[type[Exception]]]:
    """Fail so many statements with this part, let one pass, fail so many again; tell what was raised."""
    told: list[type[Exception]] = []
    seen = [0]

    def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:  # Any: Django's
        if part in sql:
            seen[0] += 1
            if seen[0] % (times + 1):
                told.append(error)
                msg = "the connection is lost"
                raise error(msg)
        return run(sql, params, many, context)

    with connection.execute_wrapper(execute):
        yield told
