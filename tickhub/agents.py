"""Makes and revokes what an agent needs: a source with its clock, and a token bound to it."""

import logging
from collections.abc import Callable
from urllib.parse import quote

from django.db import DatabaseError, connection, transaction

from ingest.bridge import tokens
from ingest.reading import ReadFailed
from ingest.rereads import AgentHistory, NoAgent
from ingest.sources import spec as specs
from ingest.sources.spec import AgentSpec
from tickhub.core import zones
from tickhub.core.clock import monotonic_s, now_msc
from tickhub.core.errors import UsageError
from tickhub.reference import sources
from tickhub.reference.models import Source
from tickhub.reference.sources import Description

logger = logging.getLogger(__name__)


def issue(*, name: str, clock: str | None, revokes_others: bool) -> str:
    """Register an agent's source where it is new, and return a new token for it.

    :raises UsageError: if a new source has no clock, a known one another, or the name is that of another kind
    """
    known = Source.objects.filter(name=name).first()
    if known is None and clock is None:
        raise UsageError(
            f"source {name} is new: --clock is required (UTC, +03:00, Europe/Athens or NY+7), none is guessed"
        )
    if known is not None and known.scheme != AgentSpec.scheme:
        raise UsageError(f"source {name} is captured by {known.spec}, not by an agent: choose another name")
    source = known if known is not None and clock is None else _register(name, str(clock), known)
    with transaction.atomic(durable=True):
        if revokes_others:
            tokens.revoke(source_id=source.pk)
        return tokens.issue(source_id=source.pk)


def _register(name: str, clock: str, known: Source | None) -> Source:
    spec = specs.parse(f"agent:?name={quote(name, safe='')}&clock={quote(clock, safe='+:')}")
    return sources.register(
        Description(
            name=spec.identity,
            spec=spec.text,
            scheme=spec.scheme,
            server_name=known.server_name if known else "",
            is_replay=known.is_replay if known else False,
            clock=spec.clock or zones.UTC,
            clock_evidence="configured",
        ),
        now_msc=now_msc(),
    )


def settle_connected(*, patience_s: float, gives_up: Callable[[], bool]) -> None:
    """Let the bridge compare the past with every agent that is connected, so that no late tick is left behind."""
    deadline_s = monotonic_s() + patience_s
    try:
        for source in Source.objects.filter(scheme=AgentSpec.scheme).order_by("pk"):
            _settle(AgentHistory(source, patience_s=max(deadline_s - monotonic_s(), 0.1), gives_up=gives_up))
    except DatabaseError as error:
        connection.close()
        logger.info("agents not settled", extra={"reason": str(error)})


def _settle(history: AgentHistory) -> None:
    try:
        history.settle()
    except (NoAgent, ReadFailed) as error:
        logger.info("agent not settled", extra={"source": history.source.name, "reason": str(error)})


def revoke(*, name: str) -> int:
    """Revoke every token of a source; return how many.

    :raises UsageError: if there is no such source
    """
    known = Source.objects.filter(name=name, scheme=AgentSpec.scheme).first()
    if known is None:
        raise UsageError(f"source {name} is no agent's source")
    return tokens.revoke(source_id=known.pk)
