"""Incidents from open to resolved: escalated once, acknowledged and resolved by somebody, or resolved by themselves."""

import datetime as dt

import psycopg
import pytest

from quality import incidents, lifecycle
from quality.models import Finding, Incident
from tests import running
from tests.capturing import Rig, make_rig
from tests.crash import workers
from tickhub.audit.models import Entry
from tickhub.core import clock

pytestmark = pytest.mark.usefixtures("database")

HOUR_S = 3_600


def condition(cause: str = "DISK_FULL") -> Incident:
    incidents.raise_condition(cause=cause, evidence={})
    return Incident.objects.get(cause=cause)


def find(rig: Rig, cause: str = "CROSSED", *, ago_s: int = 0, count: int = 1, batches: int = 1) -> None:
    """Let batches show a cause, as their transactions would."""
    found_at = clock.now() - dt.timedelta(seconds=ago_s)
    feed = rig.feeds["EURUSD"]
    Finding.objects.bulk_create(
        Finding(cause=cause, source=feed.source, feed=feed, batch_id=number, count=count, found_at=found_at)
        for number in range(1, batches + 1)
    )


def test_what_nobody_acknowledged_for_long_is_escalated_once() -> None:
    opened = condition()
    assert lifecycle.escalate(after_s=900) == 0
    Incident.objects.update(opened_at=clock.now() - dt.timedelta(seconds=901))

    assert lifecycle.escalate(after_s=900) == 1
    escalated_at = Incident.objects.get(pk=opened.pk).escalated_at
    assert lifecycle.escalate(after_s=900) == 0

    assert escalated_at is not None
    assert Incident.objects.get().escalated_at == escalated_at


def test_zero_escalates_at_once_and_only_what_is_open() -> None:
    for cause in ("ONE", "TWO", "THREE"):
        condition(cause)
    lifecycle.acknowledge(incident_ids=[Incident.objects.get(cause="ONE").pk], actor="operator")
    incidents.clear_condition(cause="TWO")

    lifecycle.escalate(after_s=0)

    assert list(Incident.objects.exclude(escalated_at=None).values_list("cause", flat=True)) == ["THREE"]


def test_an_incident_that_somebody_holds_is_left_to_the_next_run() -> None:
    condition()
    # A connection of its own, as another worker has.
    with psycopg.connect(workers.database_url()) as other:
        other.execute("SELECT FROM quality_incident FOR UPDATE")
        held = lifecycle.escalate(after_s=0)

    assert (held, lifecycle.escalate(after_s=0)) == (0, 1)


def test_acknowledging_and_resolving_record_who_and_when_and_stand_in_the_audit_ledger() -> None:
    chosen = condition()

    assert lifecycle.acknowledge(incident_ids=[chosen.pk], actor="ann") == 1
    assert lifecycle.acknowledge(incident_ids=[chosen.pk], actor="bob") == 0
    assert lifecycle.resolve(incident_ids=[chosen.pk], actor="bob") == 1
    assert lifecycle.resolve(incident_ids=[chosen.pk], actor="cat") == 0

    found = Incident.objects.get()
    assert (found.state, found.acknowledged_by, found.resolved_by) == ("RESOLVED", "ann", "bob")
    assert found.acknowledged_at is not None
    assert found.resolved_at is not None
    assert found.opened_at <= found.acknowledged_at <= found.resolved_at
    entries = Entry.objects.filter(object=f"incident {chosen.pk}").order_by("pk")
    assert [(entry.actor, entry.action, entry.details["cause"]) for entry in entries] == [
        ("ann", "INCIDENT_ACKNOWLEDGED", "DISK_FULL"),
        ("bob", "INCIDENT_RESOLVED", "DISK_FULL"),
    ]


def test_a_cause_that_is_found_no_more_is_resolved_by_itself() -> None:
    rig = make_rig("EURUSD")
    find(rig, ago_s=HOUR_S + 1)
    find(rig, "LATE", ago_s=HOUR_S - 60)
    running.keep()
    lifecycle.acknowledge(incident_ids=[Incident.objects.get(cause="CROSSED").pk], actor="operator")

    assert lifecycle.settle(after_s=HOUR_S) == 1

    settled = Incident.objects.get(cause="CROSSED")
    assert (settled.state, settled.resolved_by) == ("RESOLVED", "")
    assert Incident.objects.get(cause="LATE").state == "OPEN"


def test_a_finding_that_the_keeper_has_not_seen_keeps_its_incident_open() -> None:
    rig = make_rig("EURUSD")
    find(rig, ago_s=HOUR_S + 1)
    running.keep()
    find(rig)

    assert lifecycle.settle(after_s=HOUR_S) == 0
    running.keep()

    incident = Incident.objects.get()
    assert (incident.state, incident.count) == ("OPEN", 2)


def test_failed_batches_and_conditions_wait_for_their_own_end() -> None:
    find(make_rig("EURUSD"), "BATCH_FAILED", ago_s=HOUR_S + 1)
    running.keep()
    condition()
    Incident.objects.update(last_seen_at=clock.now() - dt.timedelta(days=30))

    assert lifecycle.settle(after_s=HOUR_S) == 0


def test_a_storm_of_millions_of_bad_ticks_is_one_incident_through_its_whole_life() -> None:
    rig = make_rig("EURUSD")
    find(rig, count=65_536, batches=300, ago_s=HOUR_S + 1)
    running.keep()
    lifecycle.escalate(after_s=0)
    find(rig, count=65_536, batches=300)
    while incidents.keep(limit=50):
        pass
    lifecycle.escalate(after_s=0)

    incident = Incident.objects.get()
    assert (incident.state, incident.count) == ("OPEN", 600 * 65_536)
    assert Finding.objects.filter(incident=incident).count() == 600
