"""Options --from and --to: ISO 8601 or epoch milliseconds, half-open."""

from typing import Any

from django.core.management.base import CommandParser

from tickhub.core import clock
from tickhub.core.errors import UsageError

EVER = (-(1 << 62), 1 << 62)


def add_arguments(parser: CommandParser) -> None:
    """Add both options."""
    parser.add_argument("--from", dest="from_time", metavar="TIME", help="ISO 8601 (UTC) or epoch milliseconds")
    parser.add_argument("--to", dest="to_time", metavar="TIME", help="the same; the period ends before it")


def period(options: dict[str, Any]) -> tuple[int, int]:  # Any: the parser's values
    """Return the period in UTC milliseconds.

    :raises UsageError: if a time cannot be read, or the period is empty
    """
    bounds = []
    for name, default in zip(("from_time", "to_time"), EVER, strict=True):
        try:
            bounds.append(default if options[name] is None else clock.parse(options[name]))
        except ValueError as error:
            raise UsageError(f"--{name[:-5]}: {error}") from error
    if bounds[0] >= bounds[1]:
        msg = f"--from {options['from_time']} is not before --to {options['to_time']}"
        raise UsageError(msg)
    return bounds[0], bounds[1]
