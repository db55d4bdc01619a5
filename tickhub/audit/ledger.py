"""Appends to the audit ledger. Sole writer of its table."""

from typing import Any

from tickhub.audit.models import Entry

# The actor of what tickhub does by itself.
SYSTEM = "system"


def record(*, actor: str, action: str, about: str, details: dict[str, Any]) -> None:  # Any: JSON
    """Append one entry in the caller's transaction: it is there if and only if the deed is."""
    Entry.objects.create(actor=actor, action=action, object=about, details=details)
