"""The Celery application."""

from celery import Celery, signals

app = Celery("tickhub")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["tickhub"])


@signals.worker_init.connect(weak=False)
@signals.beat_init.connect(weak=False)
def _refuse_unsafe(**_: object) -> None:
    """Refuse what the system checks refuse; Celery runs none of Django's own."""
    from tickhub import checks

    checks.refuse_unsafe()
