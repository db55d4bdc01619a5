"""Warns early of sources: ticks that are stored late, and polls that fail more than before. Each ends by itself.

A warning opens above its bound and ends at half of it; between the two, and where too little is known to judge, nothing
changes: a figure near its bound, or a quiet minute, is no news.
"""

from typing import Any

from django.conf import settings

from ingest import pace
from ingest.pace import Delay, Failures
from quality import incidents
from quality.models import Incident
from tickhub.reference import queries as reference
from tickhub.reference.models import Source

# The batches of the last minute, by how long all but a twentieth took at most. Of fewer than twenty that is the
# slowest, and of a source that was just started it is the start of the workers: neither is judged.
_WINDOW_S, _BATCHES_LEAST = 60, 20
_MINUTES, _MINUTES_BEFORE, _POLLS_LEAST = 5, 60, 20
RISE_PERCENT_POINTS = 5.0
_NOBODY_WAITS = Delay(batches=0, waiting=0, p95_ms=0, is_steady=False)
_NO_POLLS = Failures(polls=0, failed=0, polls_before=0, failed_before=0)


def watch() -> None:
    """Open and resolve LATENCY_HIGH of real-time sources, and ERROR_RATE_RISING of all."""
    delays = pace.delays(within_s=_WINDOW_S)
    failures = pace.failures(minutes=_MINUTES, minutes_before=_MINUTES_BEFORE)
    for source in reference.sources():
        if not source.is_replay:
            _watch_latency(source, delays.get(source.pk, _NOBODY_WAITS))
        _watch_errors(source, failures.get(source.pk, _NO_POLLS))


def _watch_latency(source: Source, delay: Delay) -> None:
    if not delay.is_steady or delay.batches < _BATCHES_LEAST:
        return
    _keep(
        cause="LATENCY_HIGH",
        source=source,
        value=delay.p95_ms,
        bound=settings.LATENCY_WARNING_MS,
        evidence={
            "p95_ms": delay.p95_ms,
            "expected_ms": settings.LATENCY_WARNING_MS,
            "batches": delay.batches,
            "waiting": delay.waiting,
            "message": "look whether workers run and keep up (waiting batches in health/, worker.log), and at the "
            "load of the database's disk",
        },
    )


def _watch_errors(source: Source, failures: Failures) -> None:
    if min(failures.polls, failures.polls_before) < _POLLS_LEAST:
        return
    _keep(
        cause="ERROR_RATE_RISING",
        source=source,
        value=failures.percent - failures.percent_before,
        bound=RISE_PERCENT_POINTS,
        evidence={
            "failed_percent": round(failures.percent, 2),
            "failed_percent_before": round(failures.percent_before, 2),
            "polls": failures.polls,
            "polls_before": failures.polls_before,
            "message": "look at the findings READ_FAILED of this source for the terminal's errors, and at its poller's "
            "log",
        },
    )


def _keep(*, cause: str, source: Source, value: float, bound: float, evidence: dict[str, Any]) -> None:  # Any: JSON
    """Open the incident above the bound, resolve it at half of that."""
    if bound / 2 < value <= bound:
        return
    incidents.observe(
        cause=cause,
        source_id=source.pk,
        feed_id=None,
        holds=value > bound,
        severity=Incident.Severity.WARNING,
        evidence=evidence | {"name": source.name},
    )
