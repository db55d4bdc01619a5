"""Channels, incidents and rounds of telling, as tests of notification need them."""

import datetime as dt

from django.db import transaction

from quality import incidents
from quality.models import Channel, Delivery, Incident
from quality.notifying import channels, rounds
from tickhub.core import clock

ALL = ["OPENED", "ESCALATED", "ACKNOWLEDGED", "RESOLVED"]


def add(name: str = "pager", **facts: object) -> Channel:
    """Add a channel as an operator does."""
    channel = Channel(**({"name": name, "kind": "LOG", "events": ALL} | facts))
    save(channel)
    return channel


def save(channel: Channel, actor: str = "operator") -> None:
    with transaction.atomic(durable=True):
        channels.save(channel, actor=actor)


def condition(cause: str = "DISK_FULL", severity: str = "ERROR", **evidence: object) -> int:
    incidents.raise_condition(cause=cause, evidence=evidence, severity=severity)
    return Incident.objects.get(cause=cause).pk


def notify() -> int:
    return rounds.notify(until_s=clock.monotonic_s() + 10)


def pass_time(**ago: float) -> None:
    """Let all that was made have been made earlier, and whatever waits be due."""
    earlier = clock.now() - dt.timedelta(**ago)
    Delivery.objects.update(made_at=earlier, next_at=earlier)
    Channel.objects.update(next_at=earlier)


def told() -> list[tuple[str, str, str]]:
    """What was to be told, in order: cause, event, state."""
    rows = Delivery.objects.order_by("id").values_list("incident__cause", "event", "state")
    return [(cause, event, state) for cause, event, state in rows]
