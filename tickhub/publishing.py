"""Publishes batch ids to the workers. A failed publish is still a success: the sweeper repairs it."""

import logging

import redis
from django.conf import settings

from storage import latest
from tickhub import messages
from tickhub.core import clock, metrics

logger = logging.getLogger(__name__)

# How often the queue's length is asked for, and how long it is left alone once it was long or Redis did not answer.
_ASK_EVERY_S, _PAUSE_S = 0.2, 2.0


def queue_length() -> int:
    """Return how many messages wait in the queue of batches.

    :raises redis.RedisError: if Redis does not answer
    """
    return int(latest.client().llen(messages.QUEUE))


class Publisher:
    """Publishes one id after another for a poller, which must never wait long for Redis."""

    def __init__(self) -> None:
        self._ask_at_s = 0.0
        self._room = 0

    def publish(self, batch_id: int) -> bool:
        """Publish one id unless the queue is long or Redis failed shortly before; return whether it was sent."""
        now_s = clock.monotonic_s()
        if now_s >= self._ask_at_s:
            self._room = _room()
            self._ask_at_s = clock.monotonic_s() + (_ASK_EVERY_S if self._room > 0 else _PAUSE_S)
        if self._room <= 0:
            metrics.PUBLISH_SKIPPED.inc()
            return False
        self._room -= 1
        is_sent = _send([batch_id]) == 1
        if not is_sent:
            self._room, self._ask_at_s = 0, clock.monotonic_s() + _PAUSE_S
        return is_sent


def publish_many(batch_ids: list[int]) -> int:
    """Publish ids in order until the queue is long or the broker fails; return how many were sent."""
    if not batch_ids:
        return 0
    room = max(_room(), 0)
    metrics.PUBLISH_SKIPPED.inc(max(len(batch_ids) - room, 0))
    return _send(batch_ids[:room])


def _room() -> int:
    """Return how many ids the queue may still take; none where Redis does not answer."""
    try:
        return int(settings.QUEUE_MAX) - queue_length()
    except redis.RedisError as error:
        logger.warning("queue not measured; the sweeper publishes", extra={"error": str(error)})
        return 0


def _send(batch_ids: list[int]) -> int:
    """Append messages to the workers' queue in one round trip; return how many were sent, all or none."""
    if not batch_ids:
        return 0
    try:
        latest.client().lpush(messages.QUEUE, *(messages.encode(batch_id) for batch_id in batch_ids))
    except redis.RedisError as error:
        metrics.PUBLISH_FAILURES.inc(len(batch_ids))
        logger.warning("publish failed; the sweeper repeats it", extra={"error": str(error), "unsent": len(batch_ids)})
        return 0
    return len(batch_ids)
