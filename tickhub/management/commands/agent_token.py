"""manage.py agent_token: registers an agent's source and makes the token for it."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from tickhub import agents
from tickhub.core.errors import UsageError
from tickhub.management.base import TickhubCommand


class Command(TickhubCommand):
    help = (
        "Register a source that an agent will capture, and make a token bound to it. The token is written to --out "
        "(mode 600), or shown once; the database holds only its SHA-256."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--source", required=True, metavar="NAME", help="the source's identity")
        parser.add_argument(
            "--clock",
            metavar="CLOCK",
            help="the terminal's clock: UTC, +03:00, Europe/Athens or NY+7; required for a new source",
        )
        parser.add_argument("--out", type=Path, metavar="FILE", help="a new file for the token, mode 600")
        parser.add_argument("--renew", action="store_true", help="revoke the source's other tokens too")
        parser.add_argument("--revoke", action="store_true", help="revoke all tokens of the source, make none")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        name, out = options["source"], options["out"]
        if options["revoke"]:
            self.stdout.write(f"{agents.revoke(name=name)} tokens of {name} revoked")
            return
        descriptor = None if out is None else _create(out)
        try:
            token = agents.issue(name=name, clock=options["clock"], revokes_others=options["renew"])
        except UsageError:
            if descriptor is not None:
                os.close(descriptor)
                out.unlink()
            raise
        if descriptor is None:
            self.stdout.write(token)
            return
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
        self.stdout.write(f"token of {name} written to {out}")


def _create(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"--out {path}: {error.strerror}") from error
