"""Publishes batch ids to the workers. A failed publish is still a success: the sweeper repairs it."""

import logging

import redis
from celery.exceptions import CeleryError
from django.conf import settings
from kombu.exceptions import KombuError

from storage import latest
from tickhub.celery import app
from tickhub.core import clock, metrics

logger = logging.getLogger(__name__)

TASK = "tickhub.process_batch"
QUEUE = "batches"
_ASK_EVERY_S = 0.2


def queue_length() -> int:
    """Return how many messages wait in the queue of batches.

    :raises redis.RedisError: if Redis does not answer
    """
    return int(latest.client().llen(QUEUE))


class Publisher:
    """Publishes one id after another and asks for the queue's length only now and then."""

    def __init__(self) -> None:
        self._asked_s = 0.0
        self._room = 0

    def publish(self, batch_id: int) -> bool:
        """Publish one id unless the queue is long; return whether it was sent. A broker that is down is no error."""
        now_s = clock.monotonic_s()
        if self._room > 0 and now_s - self._asked_s < _ASK_EVERY_S:
            self._room -= 1
            return _send([batch_id]) == 1
        self._asked_s = now_s
        self._room = _room() - 1
        if self._room < 0:
            metrics.PUBLISH_SKIPPED.inc()
            return False
        return _send([batch_id]) == 1


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
    sent = 0
    try:
        for batch_id in batch_ids:
            app.send_task(TASK, kwargs={"batch_id": batch_id}, queue=QUEUE, retry=False)
            sent += 1
    except (redis.RedisError, KombuError, CeleryError, OSError) as error:
        metrics.PUBLISH_FAILURES.inc(len(batch_ids) - sent)
        logger.warning(
            "publish failed; the sweeper repeats it", extra={"error": str(error), "unsent": len(batch_ids) - sent}
        )
    return sent
