"""Watches whether the clock configured for a source fits the times at which its ticks arrive.

A tick is new a moment after it was made. Where all that arrives for minutes is of the future, or off by a quarter of an
hour or more, the terminal's clock is not what was configured. A quiet market and a poller that catches up are no
evidence: each of the newest minutes with ticks has to say so by its best poll.
"""

from django.conf import settings

from ingest import queries
from ingest.queries import Ages
from quality import incidents
from quality.models import Incident
from tickhub.core import clock, zones
from tickhub.reference import queries as reference

_MINUTE_MS = 60_000
_QUARTER_MS = 15 * _MINUTE_MS
# Minutes with ticks need not follow one another, but are no older than so many times what is asked for.
_WITHIN = 3


def watch() -> None:
    """Open and resolve CLOCK_AHEAD and CLOCK_MISMATCH of every source of which enough is known."""
    most = max(settings.CLOCK_AHEAD_MINUTES, settings.CLOCK_MISMATCH_MINUTES)
    for ages in queries.ages(from_msc=clock.now_msc() - _WITHIN * most * _MINUTE_MS):
        ahead = ages.smallest_ms[: settings.CLOCK_AHEAD_MINUTES]
        is_ahead = all(age < -settings.FUTURE_TOLERANCE_MS for age in ahead)
        if not is_ahead or len(ahead) == settings.CLOCK_AHEAD_MINUTES:
            _tell("CLOCK_AHEAD", ages, settings.CLOCK_AHEAD_MINUTES, holds=is_ahead)
        minutes = settings.CLOCK_MISMATCH_MINUTES
        is_off = _is_off(ages, minutes)
        if not is_off or len(ages.smallest_ms) >= minutes:
            _tell("CLOCK_MISMATCH", ages, minutes, holds=is_off)


def _is_off(ages: Ages, minutes: int) -> bool:
    """Return whether every minute's ticks are too old at best, or of the future by as much as a rule."""
    off_ms = settings.CLOCK_MISMATCH_S * 1000
    is_behind = all(age >= off_ms for age in ages.smallest_ms[:minutes])
    return is_behind or all(age <= -off_ms for age in ages.median_ms[:minutes])


def _tell(cause: str, ages: Ages, minutes: int, *, holds: bool) -> None:
    smallest, medians = ages.smallest_ms[:minutes], ages.median_ms[:minutes]
    configured_ms = reference.epochs(source_id=ages.source_id).at(clock.now_msc()).offset_ms
    typical_ms = sorted(medians)[len(medians) // 2] if min(smallest) < 0 else min(smallest)
    likely_ms = configured_ms - round(typical_ms / _QUARTER_MS) * _QUARTER_MS
    likely = zones.fixed(likely_ms).text
    incidents.observe(
        cause=cause,
        source_id=ages.source_id,
        feed_id=None,
        holds=holds,
        severity=Incident.Severity.ERROR,
        evidence={
            "name": ages.name,
            "minutes": len(smallest),
            "polls_with_ticks": ages.polls,
            "smallest_age_ms": min(smallest),
            "median_age_ms": typical_ms,
            "configured_offset": zones.fixed(configured_ms).text,
            "likely_offset": likely,
            "message": (
                f"the terminal's clock looks like {likely}, not {zones.fixed(configured_ms).text}; if the host's clock "
                f"is right and the quotes are not delayed, stop the poller and run "
                f"`manage.py correct_clock --source {ages.name} --clock RULE --dry-run`"
            ),
        },
    )
