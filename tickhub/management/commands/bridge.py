"""manage.py bridge: takes the ticks of agents on other machines."""

from typing import Any

from django.core.management.base import CommandParser

from tickhub import addresses, bridge
from tickhub.checks import durability_faults
from tickhub.core.errors import UsageError
from tickhub.management.base import TickhubCommand


class Command(TickhubCommand):
    help = (
        "Serve agents at ws://HOST:PORT/ws/ingest until SIGTERM. It speaks no TLS: keep it on loopback and put a TLS "
        "proxy in front. Agents need a token (agent_token)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--listen", default="127.0.0.1:8001", metavar="HOST:PORT", help="default 127.0.0.1:8001")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        faults = durability_faults()
        if faults:
            raise UsageError("PostgreSQL would lose ticks: " + "; ".join(faults))
        bridge.run(*addresses.read("--listen", options["listen"]))
