"""Watches the sources: what holds now becomes an incident, and resolves it by itself when it no longer holds."""

from dataclasses import asdict

from ingest import queries
from ingest.queries import Stability
from quality import incidents
from quality.models import Incident
from tickhub.core import clock, metrics
from tickhub.core.clock import HOUR_MS

STABLE_RATIO = 0.95
# A source observed for less than this is not judged.
_OBSERVED_MS = 60_000


def watch() -> None:
    """Compare the last hour of every source with what is expected of it."""
    for stability in queries.stability(from_msc=clock.now_msc() - HOUR_MS):
        metrics.SOURCE_STABILITY.labels(stability.name).set(stability.ratio)
        is_unstable = stability.observed_ms >= _OBSERVED_MS and stability.ratio < STABLE_RATIO
        _tell("CONNECTION_UNSTABLE", stability, holds=is_unstable, severity=Incident.Severity.WARNING)
        is_refused = stability.link == "WRONG_ACCOUNT"
        _tell("WRONG_ACCOUNT", stability, holds=is_refused, severity=Incident.Severity.ERROR)


def _tell(cause: str, stability: Stability, *, holds: bool, severity: str) -> None:
    evidence = asdict(stability) | {"ratio": round(stability.ratio, 4), "expected_ratio": STABLE_RATIO}
    incidents.observe(
        cause=cause, source_id=stability.source_id, feed_id=None, holds=holds, severity=severity, evidence=evidence
    )
