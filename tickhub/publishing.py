"""Publishes batch ids to the workers. A failed publish is still a success: the sweeper repairs it."""

import logging

import redis
from celery.exceptions import CeleryError
from django.conf import settings
from kombu.exceptions import KombuError

from storage import latest
from tickhub.celery import app
from tickhub.core import metrics

logger = logging.getLogger(__name__)

TASK = "tickhub.process_batch"
QUEUE = "batches"


def queue_length() -> int:
    """Return how many messages wait in the queue of batches.

    :raises redis.RedisError: if Redis does not answer
    """
    return int(latest.client().llen(QUEUE))


def publish(batch_id: int) -> bool:
    """Publish one id unless the queue is long; return whether it was sent. A broker that is down is no error."""
    return publish_many([batch_id]) == 1


def publish_many(batch_ids: list[int]) -> int:
    """Publish ids in order until the queue is long or the broker fails; return how many were sent."""
    sent = 0
    try:
        room = settings.QUEUE_MAX - queue_length()
        for batch_id in batch_ids[: max(room, 0)]:
            app.send_task(TASK, kwargs={"batch_id": batch_id}, queue=QUEUE, retry=False)
            sent += 1
        metrics.PUBLISH_SKIPPED.inc(max(len(batch_ids) - max(room, 0), 0))
    except (redis.RedisError, KombuError, CeleryError, OSError) as error:
        metrics.PUBLISH_FAILURES.inc(len(batch_ids) - sent)
        logger.warning(
            "publish failed; the sweeper repeats it",
            extra={"error": str(error), "unsent": len(batch_ids) - sent},
        )
    return sent
