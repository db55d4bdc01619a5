"""The channels that incidents are told over: what operators may set, and how each answers. Sole writer of channels."""

import random
import re
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import F
from django.db.models.functions import Now

from quality.models import Channel
from quality.notifying import deliveries
from tickhub.audit import ledger
from tickhub.core.errors import UsageError

# What an operator sets; a change of any of them stands in the audit ledger.
FIELDS = ("name", "kind", "address", "least_severity", "causes", "events", "is_on")
_CAUSE = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
# A channel that fails is asked again after so long at most, however many messages wait for it.
_PAUSE_FIRST_S, _PAUSE_MOST_S = 10, 60


class ChannelRefused(UsageError):
    """Nothing could be told over the channel."""


def refuse(channel: Channel) -> None:
    """Refuse a channel over which nothing could be told.

    :raises ChannelRefused: in one line
    """
    match channel.kind:
        case Channel.Kind.LOG:
            if channel.address:
                raise ChannelRefused(f"channel {channel.name}: a log has no address, found {channel.address!r}")
        case Channel.Kind.EMAIL:
            _refuse_mail(channel)
        case Channel.Kind.WEBHOOK:
            _refuse_webhook(channel)
    for cause in channel.causes:
        if not _CAUSE.fullmatch(cause):
            raise ChannelRefused(f"channel {channel.name}: cause {cause!r} is none, expected capitals like CROSSED")


def save(channel: Channel, *, actor: str) -> None:
    """Add or change a channel in the caller's transaction, with its entry in the audit ledger.

    Of incidents that were opened before it was switched on it tells nothing. What waits for one that is switched off
    is failed.

    :raises ChannelRefused: if nothing could be told over it
    """
    refuse(channel)
    before = Channel.objects.select_for_update(no_key=True).filter(pk=channel.pk).first()
    old = {} if before is None else _shown(before)
    new = _shown(channel)
    changed = {name: [old.get(name), value] for name, value in new.items() if old.get(name) != value}
    is_moved = before is not None and before.address != channel.address
    if is_moved:
        # Told even where the part that is shown is the same.
        changed["address"] = [old["address"], new["address"]]
    if before is not None and not changed:
        return
    # How it answers is noted meanwhile, and not ours to write.
    channel.save(update_fields=None if before is None else FIELDS)
    if channel.is_on and (before is None or not before.is_on):
        Channel.objects.filter(pk=channel.pk).update(on_since=Now(), failures=0, next_at=Now())
    if is_moved:
        Channel.objects.filter(pk=channel.pk).update(failures=0, next_at=Now())
    if before is not None and before.is_on and not channel.is_on:
        deliveries.drop(channel_id=channel.pk, error="the channel was switched off")
    action = "CHANNEL_ADDED" if before is None else "CHANNEL_CHANGED"
    ledger.record(actor=actor, action=action, about=f"channel {channel.pk}", details=changed)


def take(*, channel_id: int) -> None:
    """Let nobody else send over a channel while one message is under way, in the caller's transaction."""
    Channel.objects.filter(pk=channel_id).update(next_at=deliveries.in_seconds(deliveries.LEASE_S))


def note_success(*, channel_id: int) -> None:
    """Note that a channel has taken a message."""
    Channel.objects.filter(pk=channel_id).update(failures=0, next_at=Now())


def note_failure(*, channel_id: int) -> None:
    """Let a channel rest that has not taken a message: the longer, the more of them in a row."""
    failures = Channel.objects.values_list("failures", flat=True).get(pk=channel_id)
    longest_s = min(_PAUSE_FIRST_S * 2 ** min(failures, 10), _PAUSE_MOST_S)
    Channel.objects.filter(pk=channel_id).update(
        failures=F("failures") + 1,
        next_at=deliveries.in_seconds(random.uniform(longest_s / 2, longest_s)),  # noqa: S311  # no secret
    )


def _shown(channel: Channel) -> dict[str, Any]:  # Any: JSON
    """Return what the audit ledger tells of a channel: of a web address no path, which may hold a token."""
    shown = {name: getattr(channel, name) for name in FIELDS}
    if channel.kind == Channel.Kind.WEBHOOK:
        parts = urlsplit(channel.address)
        shown["address"] = f"{parts.scheme}://{parts.hostname}/…"
    return {name: list(value) if isinstance(value, (list, tuple)) else value for name, value in shown.items()}


def _refuse_mail(channel: Channel) -> None:
    if not settings.EMAIL_HOST:
        raise ChannelRefused(f"channel {channel.name}: TICKHUB_EMAIL_HOST is not set, no mail can be sent")
    for one in channel.address.split(","):
        try:
            validate_email(one.strip())
        except ValidationError:
            raise ChannelRefused(f"channel {channel.name}: {one.strip()!r} is no mail address") from None


def _refuse_webhook(channel: Channel) -> None:
    try:
        parts = urlsplit(channel.address)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or not re.fullmatch(r"[!-~]+", channel.address) or parts.fragment:
        raise ChannelRefused(f"channel {channel.name}: expected an address like https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ChannelRefused(f"channel {channel.name}: an address must not hold a user or password")
