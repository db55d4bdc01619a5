"""What the commands share: the data folder's option, JSON on the last line, one-line errors."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tickhub.core.errors import UsageError


class TickhubCommand(BaseCommand):
    """A command whose usage errors are one line and exit code 2."""

    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--data-dir",
            metavar="DIR",
            help="folder of the embedded PostgreSQL and Valkey (default: the user's data folder)",
        )

    def execute(self, *args: Any, **options: Any) -> Any:  # Any: Django's signature
        try:
            return super().execute(*args, **options)
        except UsageError as error:
            raise CommandError(str(error), returncode=2) from error

    def print_json(self, report: dict[str, Any]) -> None:  # Any: JSON
        """Write a report as one line, the last of stdout."""
        self.stdout.write(json.dumps(report, separators=(",", ":")))
