"""One round of telling: make what is missing, send what is due, record what became of it."""

import logging

from django.db import transaction

from quality.notifying import channels, deliveries, messages, sending
from quality.notifying.deliveries import Taken
from quality.notifying.sending import SendFailed
from tickhub.core import clock, metrics

logger = logging.getLogger(__name__)


def notify(*, until_s: float) -> int:
    """Tell what is to be told; return how many messages were taken. Several rounds may run at once.

    ``until_s`` (of the monotonic clock) is when to begin nothing more: the rest is left to the next round.
    """
    deliveries.make()
    for delivery_id in deliveries.give_up():
        metrics.DELIVERIES.labels("FAILED").inc()
        logger.error("incident could not be told", extra={"delivery": delivery_id})
    taken_count = 0
    while clock.monotonic_s() < until_s and (taken := take()) is not None:
        taken_count += _send(taken)
    return taken_count


def take() -> Taken | None:
    """Take the delivery that has been due the longest together with its channel; None where none is due.

    Both stay taken until what became of it is recorded, or for as long as a lease holds.
    """
    with transaction.atomic(durable=True):
        taken = deliveries.take()
        if taken is not None:
            channels.take(channel_id=taken.delivery.channel_id)
    return taken


def _send(taken: Taken) -> bool:
    delivery = taken.delivery
    channel = delivery.channel
    try:
        sending.send(messages.of(delivery), kind=channel.kind, address=channel.address)
    except SendFailed as error:
        deliveries.record_failure(delivery_id=delivery.pk, attempts=taken.attempts, error=str(error))
        channels.note_failure(channel_id=channel.pk)
        metrics.DELIVERIES.labels("RETRIED").inc()
        facts = {"delivery": delivery.pk, "channel": channel.name, "attempts": taken.attempts, "error": str(error)}
        logger.warning("incident not told yet", extra=facts)
        return False
    deliveries.record_delivered(delivery_id=delivery.pk)
    channels.note_success(channel_id=channel.pk)
    metrics.DELIVERIES.labels("DELIVERED").inc()
    return True
