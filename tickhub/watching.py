"""Watches the sources: what holds now becomes an incident, and resolves it by itself when it no longer holds."""

from dataclasses import asdict

from django.conf import settings

from ingest import queries
from ingest.queries import Stability
from quality import incidents
from quality.models import Incident
from tickhub import clockwatch, warning
from tickhub.core import clock, metrics
from tickhub.core.clock import HOUR_MS
from tickhub.reference import queries as reference

STABLE_RATIO = 0.95
# A source observed for less than this is not judged.
_OBSERVED_MS = 60_000


def watch() -> None:
    """Compare the last hour of every source, and what its terminal says, with what is expected."""
    for stability in queries.stability(from_msc=clock.now_msc() - HOUR_MS):
        metrics.SOURCE_STABILITY.labels(stability.name).set(stability.ratio)
        is_unstable = stability.observed_ms >= _OBSERVED_MS and stability.ratio < STABLE_RATIO
        _tell("CONNECTION_UNSTABLE", stability, holds=is_unstable, severity=Incident.Severity.WARNING)
        is_refused = stability.link == "WRONG_ACCOUNT"
        _tell("WRONG_ACCOUNT", stability, holds=is_refused, severity=Incident.Severity.ERROR)
    _watch_agents()
    _watch_facts()
    clockwatch.watch()
    warning.watch()


def _watch_agents() -> None:
    """Tell of agents that nobody has heard of for long: nothing of their sources is captured meanwhile."""
    for seen in queries.agents_seen():
        away_s = 0 if seen.is_connected else (clock.now_msc() - seen.seen_msc) // 1000
        incidents.observe(
            cause="AGENT_AWAY",
            source_id=seen.source_id,
            feed_id=None,
            holds=seen.is_expected and away_s > settings.AGENT_AWAY_S,
            severity=Incident.Severity.ERROR,
            evidence={
                "name": seen.name,
                "last_seen": clock.iso(seen.seen_msc),
                "away_s": away_s,
                "message": "start the agent, or revoke its token if it is not to come back",
            },
        )


def _watch_facts() -> None:
    """Tell of what terminals say differently than before, and of decimals that are not those of the instrument."""
    for history in reference.fact_histories():
        feed = history.feed
        for number, changed in history.changes:
            incidents.report_once(
                cause="INSTRUMENT_CHANGED",
                source_id=feed.source_id,
                feed_id=feed.pk,
                severity=Incident.Severity.WARNING,
                number=number,
                evidence={"symbol": feed.symbol, "changed": changed},
            )
        incidents.observe(
            cause="DIGITS_DIFFER",
            source_id=feed.source_id,
            feed_id=feed.pk,
            holds=history.newest.digits != feed.instrument.digits,
            severity=Incident.Severity.WARNING,
            evidence={
                "symbol": feed.symbol,
                "digits": history.newest.digits,
                "instrument": feed.instrument.code,
                "instrument_digits": feed.instrument.digits,
            },
        )


def _tell(cause: str, stability: Stability, *, holds: bool, severity: str) -> None:
    evidence = asdict(stability) | {"ratio": round(stability.ratio, 4), "expected_ratio": STABLE_RATIO}
    incidents.observe(
        cause=cause, source_id=stability.source_id, feed_id=None, holds=holds, severity=severity, evidence=evidence
    )
