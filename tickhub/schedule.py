"""The schedule of beat, written to its tables at every start; operators see it in the admin and may add to it."""

from django.db import transaction
from django_celery_beat.models import IntervalSchedule, PeriodicTask

# Task, period in seconds. Each expires before its next turn, so that a pause makes no crowd.
TASKS = (
    ("ingest.sweep_inbox", 1),
    ("quality.keep_incidents", 1),
    ("quality.escalate_incidents", 5),
    ("quality.settle_incidents", 30),
    ("quality.notify", 5),
    ("storage.refresh_latest", 1),
    ("tickhub.watch_overflow", 5),
    ("tickhub.watch_sources", 5),
    ("tickhub.watch_host_clock", 30),
    ("tickhub.examine_hours", 60),
    ("tickhub.judge_again", 5),
    ("tickhub.fill_gaps", 60),
    ("ingest.forget_connections", 3600),
)
# The notifier has a queue of its own: it waits for others' servers.
QUEUES = {"quality.notify": "notices"}


def synchronise() -> None:
    """Make the periodic tasks that are missing; what an operator switched off stays off."""
    with transaction.atomic(durable=True):
        for task, period_s in TASKS:
            interval, _ = IntervalSchedule.objects.get_or_create(every=period_s, period=IntervalSchedule.SECONDS)
            PeriodicTask.objects.update_or_create(
                name=task,
                defaults={
                    "task": task,
                    "interval": interval,
                    "queue": QUEUES.get(task, "keeping"),
                    "expire_seconds": period_s * 5,
                },
            )
