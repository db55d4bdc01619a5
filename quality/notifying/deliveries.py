"""What is to be told over which channel, and what became of it. Sole writer of deliveries.

A delivery is made from the incident's state, taken with a lease, sent, and recorded. Who dies between sending and
recording leaves it to be sent again, with the same message id.
"""

import datetime as dt
import random
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import F
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from quality.models import Delivery

_FIRST_WAIT_S, _MOST_WAIT_S = 10, 3_600
_TRIED_FOR_S = 86_400
_MADE_AT_ONCE = 1_000
# Three times as long as sending may take: whoever took a delivery and has not recorded anything by then is dead.
LEASE_S = 15


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery to be sent now; ``attempts`` includes this one."""

    delivery: Delivery
    attempts: int


def make() -> int:
    """Make the deliveries of what has happened to incidents since the last run; return how many.

    The incident keeps how many of its events were noted, so that a run looks at what is new only.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "WITH news AS (SELECT id FROM quality_incident"
            " WHERE events_noted < 1 + num_nonnulls(escalated_at, acknowledged_at, resolved_at)"
            " ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED),"
            " noted AS (UPDATE quality_incident i"
            " SET events_noted = 1 + num_nonnulls(i.escalated_at, i.acknowledged_at, i.resolved_at)"
            " FROM news WHERE i.id = news.id RETURNING i.*)"
            " INSERT INTO quality_delivery (message_id, incident_id, channel_id, event, state, attempts, error)"
            " SELECT gen_random_uuid(), n.id, c.id, e.event, 'WAITING', 0, '' FROM noted n"
            " CROSS JOIN LATERAL (VALUES ('OPENED', n.opened_at), ('ESCALATED', n.escalated_at),"
            " ('ACKNOWLEDGED', n.acknowledged_at), ('RESOLVED', n.resolved_at)) AS e(event, happened_at)"
            " JOIN quality_channel c ON c.is_on AND n.opened_at >= c.on_since AND e.event = ANY(c.events)"
            " AND (c.causes = '{}' OR n.cause = ANY(c.causes))"
            " AND (c.least_severity = 'WARNING' OR n.severity = 'ERROR')"
            " WHERE e.happened_at IS NOT NULL ORDER BY e.happened_at, n.id"
            " ON CONFLICT (incident_id, channel_id, event) DO NOTHING",
            [_MADE_AT_ONCE],
        )
        return int(cursor.rowcount)


def take() -> Taken | None:
    """Take the delivery that has been due the longest, in the caller's transaction; None where none is due.

    Its channel is locked too, for the caller to take: while it sends over one, nobody else does.
    """
    due = (
        Delivery.objects.select_for_update(skip_locked=True, no_key=True, of=("self", "channel"))
        .filter(state=Delivery.State.WAITING, next_at__lte=Now())
        .filter(channel__is_on=True, channel__next_at__lte=Now())
        .select_related("channel", "incident__source", "incident__feed")
        .order_by("next_at", "id")
    )
    delivery = due.first()
    if delivery is None:
        return None
    Delivery.objects.filter(pk=delivery.pk).update(attempts=F("attempts") + 1, next_at=in_seconds(LEASE_S))
    return Taken(delivery, delivery.attempts + 1)


def record_delivered(*, delivery_id: int) -> None:
    """Record that the other side has taken a message."""
    Delivery.objects.filter(pk=delivery_id).update(state=Delivery.State.DELIVERED, delivered_at=Now(), error="")


def record_failure(*, delivery_id: int, attempts: int, error: str) -> None:
    """Record that an attempt failed; the next one follows after a wait."""
    wait_s = random.uniform(0, longest_wait_s(attempts))  # noqa: S311  # no secret
    waiting = Delivery.objects.filter(pk=delivery_id, state=Delivery.State.WAITING)
    waiting.update(next_at=in_seconds(wait_s), error=error)


def longest_wait_s(attempts: int) -> int:
    """Return what the wait after so many attempts is drawn up to, at random: failures do not come back together."""
    # Beyond 20 doublings it is over any bound.
    return min(_FIRST_WAIT_S * 2 ** min(max(attempts - 1, 0), 20), _MOST_WAIT_S)


def give_up() -> list[int]:
    """Fail what has been tried for a day; return the ids."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE quality_delivery SET state = 'FAILED',"
            " error = coalesce(nullif(error, ''), 'no attempt came to an end') WHERE id IN"
            " (SELECT id FROM quality_delivery WHERE state = 'WAITING' AND attempts > 0"
            " AND next_at <= clock_timestamp() AND made_at <= clock_timestamp() - make_interval(secs => %s)"
            " FOR UPDATE SKIP LOCKED) RETURNING id",
            [_TRIED_FOR_S],
        )
        return sorted(int(row[0]) for row in cursor.fetchall())


def drop(*, channel_id: int, error: str) -> None:
    """Fail what waits for a channel, in the caller's transaction."""
    waiting = Delivery.objects.filter(channel_id=channel_id, state=Delivery.State.WAITING)
    waiting.update(state=Delivery.State.FAILED, error=error)


def in_seconds(seconds: float) -> CombinedExpression:
    """Return the database's time in so many seconds."""
    return Now() + dt.timedelta(seconds=seconds)
