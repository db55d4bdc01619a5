"""What the commands share: the data folder's option, and JSON on the last line."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tickhub import checks


class TickhubCommand(BaseCommand):
    """A command of tickhub: its usage errors are told by the launcher, in one line and with exit code 2."""

    # Only what refuse_unsafe tells in one line; `manage.py check` runs them all.
    requires_system_checks = []

    def execute(self, *args: Any, **options: Any) -> Any:  # Any: Django's signature
        checks.refuse_unsafe()
        return super().execute(*args, **options)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--data-dir",
            metavar="DIR",
            help="folder of the embedded PostgreSQL and Valkey (default: the user's data folder)",
        )

    def print_json(self, report: dict[str, Any]) -> None:  # Any: JSON
        """Write a report as one line, the last of stdout."""
        self.stdout.write(json.dumps(report, separators=(",", ":")))
