"""The hours of feeds whose stations differ: those that the open incident of a feed tells, until they agree."""

from collections.abc import Collection, Mapping
from typing import Any

from quality import incidents
from quality.models import Incident
from tickhub.consistency.stations import Difference, NoDifference
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS

_CAUSE = "STATIONS_DIFFER"
# An incident tells so many hours of a feed; of further ones each gets a place when its turn comes and one is free.
_HOURS_MOST = 100

# What is told of each hour (UTC, since 1970) of a feed.
Told = dict[int, dict[str, Any]]  # Any: JSON


def told(*, feed_ids: Collection[int] | None = None) -> dict[int, Told]:
    """Return what open incidents tell, by feed; of some feeds, or of all."""
    rows = Incident.objects.filter(cause=_CAUSE, feed__isnull=False).exclude(state=Incident.State.RESOLVED)
    if feed_ids is not None:
        rows = rows.filter(feed_id__in=feed_ids)
    return {feed_id: _read(evidence) for feed_id, evidence in rows.order_by("pk").values_list("feed_id", "evidence")}


def tell(*, source_id: int, hour: int, found: Mapping[int, Difference | NoDifference]) -> None:
    """Open, refresh or resolve the incidents of feeds of a source, after an hour of it was compared.

    An hour that could not be compared stays as it is told. An incident is resolved once all of its hours agree.
    """
    known = told(feed_ids=found.keys())
    for feed_id, result in found.items():
        before = known.get(feed_id, {})
        if result is NoDifference.NOT_COMPARABLE or (result is NoDifference.AGREE and hour not in before):
            continue
        after = {at: one for at, one in before.items() if at != hour}
        if isinstance(result, Difference) and len(after) < _HOURS_MOST:
            after[hour] = result.as_json()
        incidents.observe(
            cause=_CAUSE,
            source_id=source_id,
            feed_id=feed_id,
            holds=bool(after),
            severity=Incident.Severity.ERROR,
            evidence=_write(after),
        )


def _write(hours: Told) -> dict[str, Any]:  # Any: JSON
    """Return the first hour as evidence, with the others in it."""
    if not hours:
        return {}
    first, *others = (hours[hour] for hour in sorted(hours))
    return first | ({"others": others} if others else {})


def _read(evidence: dict[str, Any]) -> Told:  # Any: JSON
    first = {name: value for name, value in evidence.items() if name != "others"}
    return {clock.parse(one["hour"]) // HOUR_MS: one for one in (first, *evidence.get("others", []))}
