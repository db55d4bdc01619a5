"""Reads of findings, incidents and quarantine."""

from django.db.models import Count, QuerySet

from quality.models import Incident, QuarantinedTick
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Ticks


def held(*, feed_id: int, from_msc: int, to_msc: int) -> Ticks:
    """Return the held ticks of a feed within ``[from_msc, to_msc)`` (UTC), by key, in the terminal's clock."""
    rows = (
        QuarantinedTick.objects.filter(feed_id=feed_id, time_msc__gte=from_msc, time_msc__lt=to_msc)
        .exclude(state=QuarantinedTick.State.RELEASED)
        .order_by("time_msc", "seq", "id")
        .values_list("record", flat=True)
    )
    return tick_arrays.from_bytes(b"".join(bytes(record) for record in rows.iterator()))


def held_counts() -> dict[int, int]:
    """Return how many ticks are held, by feed."""
    rows = (
        QuarantinedTick.objects.exclude(state=QuarantinedTick.State.RELEASED)
        .values("feed_id")
        .annotate(n=Count("id"))
        .order_by("feed_id")
    )
    return {row["feed_id"]: row["n"] for row in rows}


def open_incidents() -> QuerySet[Incident]:
    """Return the incidents that nobody has resolved, the newest first."""
    return Incident.objects.exclude(state=Incident.State.RESOLVED).order_by("-last_seen_at")
