"""The Celery application."""

import sys

from celery import Celery, signals

from tickhub.core.errors import UsageError

app = Celery("tickhub")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["tickhub"])


@signals.worker_init.connect(weak=False)
@signals.beat_init.connect(weak=False)
def _refuse_unsafe(**_: object) -> None:
    """Refuse what the system checks refuse; Celery runs none of Django's own.

    :raises SystemExit: as Celery logs any other error of a signal's receiver and goes on
    """
    from tickhub import checks

    try:
        checks.refuse_unsafe()
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from error
