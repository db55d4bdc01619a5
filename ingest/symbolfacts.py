"""Hands what a terminal says of its symbols on to the reference data, whenever it says something new."""

import logging
from collections.abc import Mapping

from django.db import DatabaseError, InterfaceError, connection

from ingest.target import Target
from tickhub.core.symbols import SymbolFacts
from tickhub.reference import facts

logger = logging.getLogger(__name__)


class FactLog:
    """Remembers what of one source is recorded, so that a poll which hears nothing new costs no statement."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._recorded: dict[str, SymbolFacts] = {}

    def note(self, said: Mapping[str, SymbolFacts]) -> None:
        """Record what differs from before; where the database fails, it is tried again with the next note."""
        if said == self._recorded:
            return
        by_feed = {self._target.feeds[symbol][0]: of_symbol for symbol, of_symbol in said.items()}
        try:
            count = facts.record(facts=by_feed)
        except (DatabaseError, InterfaceError) as error:
            logger.warning(
                "facts of symbols not recorded",
                extra={"source": self._target.name, "error": str(error).split("\n", 1)[0]},
            )
            connection.close()
            return
        self._recorded = dict(said)
        if count:
            logger.info("facts of symbols recorded", extra={"source": self._target.name, "symbols": count})
