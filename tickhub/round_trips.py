"""Sends statements together, so that several cost one round trip.

After some milliseconds of idleness a round trip costs more than what it asks for: two processes have to be woken.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, InterfaceError, connection


@contextmanager
def together() -> Iterator[None]:
    """Send the statements of the block without waiting for their answers; these are there when it ends.

    :raises django.db.DatabaseError: at the block's end, if a statement failed; those behind it were not executed
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


@contextmanager
def rolled_back_unless_committed() -> Iterator[None]:
    """Roll back what an error in the block leaves open; the block begins and commits by itself."""
    try:
        yield
    except BaseException:
        _roll_back()
        raise


def _roll_back() -> None:
    if connection.connection is None:
        return
    try:
        with connection.wrap_database_errors:
            connection.connection.rollback()
    except (DatabaseError, InterfaceError):
        # The session is gone, and its transaction with it.
        connection.close()
