"""What becomes of an open incident: it is escalated, acknowledged, resolved. Beside the keeper, sole writer of these.

Whoever locks several incidents here passes over those that another holds, or takes them while the keeper rests: none
waits for another in a circle.
"""

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from quality import incidents
from quality.models import Incident
from tickhub.audit import ledger

# A batch stays failed until somebody releases it, however long ago that was.
_UNTIL_DECIDED = ["BATCH_FAILED"]


def escalate(*, after_s: int) -> int:
    """Mark what was opened that long ago, and nobody has acknowledged, as escalated, once; return how many."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE quality_incident SET escalated_at = clock_timestamp() WHERE id IN (SELECT id FROM quality_incident"
            " WHERE state = 'OPEN' AND escalated_at IS NULL"
            " AND opened_at <= clock_timestamp() - make_interval(secs => %s) FOR UPDATE SKIP LOCKED)",
            [after_s],
        )
        return int(cursor.rowcount)


def settle(*, after_s: int) -> int:
    """Resolve incidents of findings whose cause has not been found for that long; return how many.

    Findings that the keeper has not seen yet count too.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE quality_incident SET state = 'RESOLVED', resolved_at = clock_timestamp() WHERE id IN"
            " (SELECT i.id FROM quality_incident i WHERE i.state <> 'RESOLVED' AND i.cause <> ALL(%s::text[])"
            " AND i.last_seen_at <= clock_timestamp() - make_interval(secs => %s)"
            " AND EXISTS (SELECT FROM quality_finding f WHERE f.incident_id = i.id)"
            " AND NOT EXISTS (SELECT FROM quality_finding f WHERE f.incident_id IS NULL AND f.cause = i.cause"
            " AND f.source_id IS NOT DISTINCT FROM i.source_id AND f.feed_id IS NOT DISTINCT FROM i.feed_id)"
            # Checks left out are a cause until they are made up for.
            " AND NOT (i.cause = 'UNJUDGED' AND EXISTS (SELECT FROM quality_unjudgedbatch u"
            " WHERE u.source_id = i.source_id AND u.judged_at IS NULL))"
            " FOR UPDATE OF i SKIP LOCKED)",
            [_UNTIL_DECIDED, after_s],
        )
        return int(cursor.rowcount)


def acknowledge(*, incident_ids: list[int], actor: str) -> int:
    """Mark open incidents as looked at by somebody; return how many were open."""
    with transaction.atomic(durable=True):
        chosen = _locked(incident_ids).filter(state=Incident.State.OPEN)
        return _decide(chosen, "INCIDENT_ACKNOWLEDGED", actor, Incident.State.ACKNOWLEDGED, "acknowledged")


def resolve(*, incident_ids: list[int], actor: str) -> int:
    """Close incidents; the next finding of the same cause opens a new one. Return how many were not closed yet."""
    with transaction.atomic(durable=True):
        chosen = _locked(incident_ids).exclude(state=Incident.State.RESOLVED)
        return _decide(chosen, "INCIDENT_RESOLVED", actor, Incident.State.RESOLVED, "resolved")


def _locked(incident_ids: list[int]) -> QuerySet[Incident]:
    incidents.exclude_keeper()
    return Incident.objects.select_for_update().filter(pk__in=incident_ids).order_by("pk")


def _decide(chosen: QuerySet[Incident], action: str, actor: str, state: str, deed: str) -> int:
    """Set the state of incidents with who and when, each with its entry in the audit ledger; return how many."""
    rows = list(chosen)
    Incident.objects.filter(pk__in=[row.pk for row in rows]).update(
        state=state, **{f"{deed}_at": Now(), f"{deed}_by": actor}
    )
    for row in rows:
        details = {"cause": row.cause, "source": row.source_id, "feed": row.feed_id, "state": row.state}
        ledger.record(actor=actor, action=action, about=f"incident {row.pk}", details=details)
    return len(rows)
