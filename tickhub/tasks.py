"""The Celery tasks: each parses, makes one call, and maps errors."""

import logging
import random
from typing import Any

from celery import Task
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from ingest import connections, inbox, queries, sessions
from quality import incidents, lifecycle
from quality.notifying import rounds
from storage import latest
from tickhub import (
    agreeing,
    certifying,
    consistency,
    disk,
    examining,
    filling,
    hostclock,
    overflow,
    pipeline,
    publishing,
    watching,
)
from tickhub.celery import app
from tickhub.core import clock, metrics
from tickhub.core.errors import TransientError, UsageError
from tickhub.disk import DiskFull
from tickhub.reference import queries as reference
from tickhub.rejudging import unjudged

logger = logging.getLogger(__name__)

_RETRIES = 3
# The longest wait between two publications of one batch.
_PUBLISH_MOST_MS = 300_000
# How long examining, certifying and comparing hours, and judging batches again, may each hold a worker.
_LOOK_S = 1.0
# How long a round of telling begins to send; the next one follows at once where much waits.
_NOTIFY_S = 5.0
# The server ends a session that is idle in its transaction itself, with a message for its client.
_LEEWAY_MS = 1_000


@app.task(name="tickhub.process_batch", bind=True, max_retries=_RETRIES)
def process_batch(self: "Task[Any, Any]", /, *, batch_id: int, **_: object) -> None:  # Any: the stub's type parameters
    """Judge and store one batch; what may pass is tried again, later by the sweeper."""
    try:
        disk.guard().check()
        pipeline.process(batch_id=batch_id)
    except DiskFull:
        # It waits in the inbox; the sweeper publishes again once there is room.
        metrics.DISK_REFUSALS.inc()
    except (TransientError, DatabaseError, InterfaceError) as error:
        connection.close()
        if disk.guard().explains(error):
            metrics.DISK_REFUSALS.inc()
            return
        if self.request.retries >= _RETRIES:
            logger.warning("batch left to the sweeper", extra={"batch_id": batch_id, "error": str(error)})
            return
        # Full jitter, so that workers that failed together do not come back together.
        delay_s = random.uniform(0.1, 2.0**self.request.retries)  # noqa: S311  # no secret
        raise self.retry(exc=error, countdown=delay_s) from error


@app.task(name="ingest.sweep_inbox")
def sweep_inbox(**_: object) -> None:
    """Publish again what has waited too long, unless the queue is long."""
    metrics.BACKLOG_BATCHES.set(queries.waiting_count())
    ended = sessions.end_deaf(
        statement_ms=settings.STATEMENT_TIMEOUT_MS, idle_ms=settings.IDLE_TRANSACTION_TIMEOUT_MS + _LEEWAY_MS
    )
    if ended:
        logger.warning("ended database sessions of clients that do not answer", extra={"sessions": ended})
    if disk.guard().look().is_full:
        return
    # No more than the queue has room for: what is taken and not published would wait twice as long for nothing.
    room = settings.QUEUE_MAX - publishing.queue_length()
    if room <= 0:
        return
    due = inbox.take_due(limit=room, publish_again_ms=settings.PUBLISH_AGAIN_MS, most_ms=_PUBLISH_MOST_MS)
    metrics.SWEPT_BATCHES.inc(publishing.publish_many(due))


@app.task(name="quality.keep_incidents")
def keep_incidents(**_: object) -> None:
    """Sum the newest findings up into incidents."""
    incidents.keep()


@app.task(name="quality.escalate_incidents")
def escalate_incidents(**_: object) -> None:
    """Escalate the incidents that nobody has acknowledged for too long."""
    lifecycle.escalate(after_s=settings.ESCALATE_AFTER_S)


@app.task(name="quality.settle_incidents")
def settle_incidents(**_: object) -> None:
    """Resolve the incidents whose cause is not found any more."""
    lifecycle.settle(after_s=settings.RESOLVE_AFTER_S)


@app.task(name="quality.notify")
def notify(**_: object) -> None:
    """Tell people of what has happened to incidents."""
    rounds.notify(until_s=clock.monotonic_s() + _NOTIFY_S)


@app.task(name="tickhub.watch_overflow")
def watch_overflow(**_: object) -> None:
    """Open and resolve the incidents of what overflows."""
    overflow.watch()


@app.task(name="tickhub.watch_sources")
def watch_sources(**_: object) -> None:
    """Open and resolve the incidents of sources."""
    watching.watch()


@app.task(name="tickhub.examine_hours")
def examine_hours(**_: object) -> None:
    """Examine the hours that are complete by now, certify them, compare feeds with one another, and stations.

    One after another and shortly: ticks wait for no more than one worker of several, and the next run goes on.
    """
    examining.examine(budget_s=_LOOK_S)
    certify()
    consistency.watch(until_s=clock.monotonic_s() + _LOOK_S)
    agreeing.compare(until_s=clock.monotonic_s() + _LOOK_S)


def certify() -> None:
    """Issue the certificates that are due; without a key an incident says so."""
    try:
        certifying.issue(until_s=clock.monotonic_s() + _LOOK_S, tell=logger.info)
    except UsageError as error:
        incidents.raise_condition(cause="CERTIFICATES_UNSIGNED", evidence={"error": str(error)}, severity="WARNING")
    else:
        incidents.clear_condition(cause="CERTIFICATES_UNSIGNED")


@app.task(name="tickhub.judge_again")
def judge_again(**_: object) -> None:
    """Judge again the batches of which checks were left out."""
    unjudged.make_up(until_s=clock.monotonic_s() + _LOOK_S)


@app.task(name="tickhub.fill_gaps")
def fill_gaps(**_: object) -> None:
    """Have what is missing asked for again; tell of sessions of which too much is."""
    filling.fill()


@app.task(name="tickhub.watch_host_clock")
def watch_host_clock(**_: object) -> None:
    """Measure the host's clock; open and resolve its incidents."""
    hostclock.watch()


@app.task(name="ingest.forget_connections")
def forget_connections(**_: object) -> None:
    """Remove the connection minutes of days long past."""
    connections.forget(now=clock.now())


@app.task(name="storage.refresh_latest")
def refresh_latest(**_: object) -> None:
    """Set the cache of latest ticks from the table, wherever it is behind."""
    feed_ids = [feed.pk for feed in reference.feeds()]
    latest.publish(list(latest.from_table(feed_ids).values()))
