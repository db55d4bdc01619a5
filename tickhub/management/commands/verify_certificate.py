"""manage.py verify_certificate: verifies certificates without the database."""

import argparse
import sys
from typing import Any

from django.core.management.base import CommandParser

from tickhub import verify
from tickhub.management.base import TickhubCommand


class Command(TickhubCommand):
    help = verify.DESCRIPTION + " The same without Django: python -m tickhub.verify."

    def add_arguments(self, parser: CommandParser) -> None:
        verify.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        code = verify.run(argparse.Namespace(**options))
        if code:
            sys.exit(code)
