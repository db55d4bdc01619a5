"""What is told of an incident: a line, a text and a JSON document, without anything secret."""

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from quality.models import Delivery, Incident
from quality.notifying import evidence, redaction
from tickhub.core import clock

# A secret shorter than this may be part of any word; nobody's key is.
_SECRET_LENGTH_LEAST = 6


@dataclass(frozen=True, slots=True)
class Message:
    """One event of an incident as it is told; ``message_id`` is the same each time that it is sent."""

    message_id: str
    event: str
    at: str | None
    incident: dict[str, Any]  # Any: JSON

    @property
    def subject(self) -> str:
        """Return the one line that says what happened to what."""
        told = self.incident
        where = " of ".join(name for name in (told["feed"], told["source"]) if name)
        line = f"{told['severity']} {told['cause']} {self.event.lower()}{f': {where}' if where else ''}"
        return " ".join(line.split())

    @property
    def text(self) -> str:
        """Return one line for each fact."""
        lines = [self.subject, ""]
        for name, value in self.incident.items():
            if name != "evidence" and value not in (None, ""):
                lines.append(f"{name}: {value}")
        lines += [f"{name}: {_line(value)}" for name, value in self.incident["evidence"].items()]
        return "\n".join([*lines, "", f"message {self.message_id}", ""])

    def as_bytes(self) -> bytes:
        """Return the JSON document."""
        document = {"id": self.message_id, "event": self.event, "at": self.at, "summary": self.subject}
        return json.dumps(document | {"incident": self.incident}, ensure_ascii=False).encode()


def of(delivery: Delivery) -> Message:
    """Return what a delivery tells, of its incident as it is now."""
    incident = delivery.incident
    at = {
        Delivery.Event.OPENED: incident.opened_at,
        Delivery.Event.ESCALATED: incident.escalated_at,
        Delivery.Event.ACKNOWLEDGED: incident.acknowledged_at,
        Delivery.Event.RESOLVED: incident.resolved_at,
    }
    return Message(
        message_id=str(delivery.message_id),
        event=delivery.event,
        at=_iso(at[Delivery.Event(delivery.event)]),
        incident=_told(incident),
    )


def _told(incident: Incident) -> dict[str, Any]:  # Any: JSON
    hidden = secrets()

    def name(text: str | None) -> str | None:
        return None if text is None else redaction.redact_text(text, secrets=hidden)

    return {
        "id": incident.pk,
        "cause": incident.cause,
        "severity": incident.severity,
        "state": incident.state,
        "source": None if incident.source is None else name(incident.source.name),
        "feed": None if incident.feed is None else name(incident.feed.symbol),
        "count": incident.count,
        "opened_at": _iso(incident.opened_at),
        "last_seen_at": _iso(incident.last_seen_at),
        "escalated_at": _iso(incident.escalated_at),
        "acknowledged_at": _iso(incident.acknowledged_at),
        "acknowledged_by": name(incident.acknowledged_by),
        "resolved_at": _iso(incident.resolved_at),
        "resolved_by": name(incident.resolved_by),
        "evidence": evidence.told(incident.cause, incident.evidence, secrets=hidden),
    }


def secrets() -> list[str]:
    """Return the secrets that this process knows of, the longest first: none may stand in a message."""
    database = settings.DATABASES["default"].get("PASSWORD")
    redis = urlsplit(settings.REDIS_URL).password
    keys = (settings.SECRET_KEY, settings.WEBHOOK_KEY, settings.CERTIFICATE_KEY)
    known = (*keys, settings.EMAIL_HOST_PASSWORD, database, redis)
    return sorted((text for text in known if text and len(text) >= _SECRET_LENGTH_LEAST), key=len, reverse=True)


def _iso(moment: dt.datetime | None) -> str | None:
    return None if moment is None else clock.iso(clock.from_datetime(moment))


def _line(value: Any) -> str:  # Any: JSON
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
