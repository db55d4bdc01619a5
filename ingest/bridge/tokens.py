"""Tokens of agents, each bound to one source. Sole writer of ``agent_token``; it holds no token, only its SHA-256."""

import hashlib
import secrets
from collections.abc import Collection

from django.db.models import QuerySet

from ingest.models import AgentToken
from tickhub.core import clock

_PREFIX = "tickhub_"


def issue(*, source_id: int) -> str:
    """Make a token for a source and return it; nobody can read it again."""
    token = _PREFIX + secrets.token_urlsafe(32)
    AgentToken.objects.create(source_id=source_id, sha256=_hashed(token))
    return token


def find(*, token: str) -> AgentToken | None:
    """Return the row of a token that is not revoked, with its source; None where there is none."""
    return _valid().select_related("source").filter(sha256=_hashed(token)).first()


def valid(*, token_ids: Collection[int]) -> set[int]:
    """Return which of these tokens have not been revoked meanwhile."""
    return set(_valid().filter(pk__in=token_ids).values_list("pk", flat=True))


def revoke(*, source_id: int) -> int:
    """Revoke every token of a source; a connected agent is shut out within seconds. Return how many."""
    return _valid().filter(source_id=source_id).update(revoked_at=clock.now())


def _valid() -> QuerySet[AgentToken]:
    return AgentToken.objects.filter(revoked_at=None).order_by("pk")


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
