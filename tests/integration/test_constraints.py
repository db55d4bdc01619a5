"""Every constraint that the models declare is the database's own: a row that breaks it is refused."""

import datetime as dt
import uuid
from collections.abc import Callable

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction

from ingest.models import AgentToken, Backfill, Batch, ConnectionMinute, Cursor, Lease, Reread
from quality.models import (
    Certificate,
    Channel,
    Delivery,
    DueHours,
    FeedAgreement,
    FeedHour,
    Gap,
    Incident,
    QuarantinedTick,
    Threshold,
    UnjudgedBatch,
)
from storage.models import Partition
from tests.builders import NOON_MSC
from tests.capturing import Rig, make_rig
from tickhub.reference.models import ClockCorrection, ClockEpoch, Feed, Instrument, SessionCalendar, Source, UnsurePass

pytestmark = pytest.mark.usefixtures("database")

_TODAY = dt.date(2026, 3, 2)
_NOW = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)


def batch(rig: Rig, status: str = "WAITING", tick_count: int = 0) -> None:
    Batch.objects.create(
        source_id=rig.poller.target.source_id,
        status=status,
        poll_msc=NOON_MSC,
        captured_on=_TODAY,
        tick_count=tick_count,
        parts=[],
        next_publish_at=_NOW,
    )


def held(rig: Rig, state: str = "HELD", position: int = 0, **decided: object) -> None:
    QuarantinedTick.objects.create(
        feed=rig.feeds["EURUSD"],
        batch_id=1,
        time_msc=NOON_MSC,
        seq=0,
        position=position,
        record=bytes(60),
        offset_ms=0,
        quality=1,
        state=state,
        **decided,
    )


def certificate(rig: Rig, number: int = 1, from_msc: int = NOON_MSC, revision: int = 1) -> None:
    Certificate.objects.create(
        feed=rig.feeds["EURUSD"],
        number=number,
        revision=revision,
        from_msc=from_msc,
        to_msc=NOON_MSC + 3_600_000,
        is_whole=True,
        through_batch_id=0,
        document="{}",
        sha256="0" * 64,
    )


def two_certificates(rig: Rig, number: int = 1, revision: int = 1) -> None:
    certificate(rig)
    certificate(rig, number=number, revision=revision)


def incident(rig: Rig, state: str = "OPEN", severity: str = "ERROR", **by: str) -> None:
    source_id = rig.poller.target.source_id
    Incident.objects.create(cause="CROSSED", source_id=source_id, feed=None, state=state, severity=severity, **by)


def channel(**changed: object) -> Channel:
    return Channel.objects.create(**({"name": "log", "kind": "LOG", "events": ["OPENED"]} | changed))


def delivery(rig: Rig, times: int = 1, **changed: object) -> None:
    incident(rig)
    told = {"incident": Incident.objects.get(), "channel": channel(), "event": "OPENED"} | changed
    for _ in range(times):
        Delivery.objects.create(message_id=uuid.uuid4(), **told)


def agreement(rig: Rig, times: int = 1, **changed: object) -> None:
    feed = rig.feeds["EURUSD"]
    other, _ = Feed.objects.get_or_create(
        source=feed.source, symbol="EURUSD.x", defaults={"instrument": feed.instrument, "begins_msc": 0}
    )
    facts = {"feed": feed, "other": other, "hour": 1, "compared_s": 10, "disagreeing_s": 0, "worst_points": 1.0}
    for _ in range(times):
        FeedAgreement.objects.create(**facts | changed)


def due_hours(rig: Rig, **changed: object) -> None:
    DueHours.objects.create(
        **{"work": "EXAMINE", "source": rig.feeds["EURUSD"].source, "from_hour": 1, "to_hour": 2} | changed
    )


def unjudged(rig: Rig, **changed: object) -> None:
    UnjudgedBatch.objects.create(**{"batch_id": 1, "source": rig.feeds["EURUSD"].source, "checks": ["STUCK"]} | changed)


def correction(rig: Rig, state: str = "RUNNING", days_done: int = 0) -> None:
    ClockCorrection.objects.create(
        source=rig.feeds["EURUSD"].source,
        epochs_before=[],
        epochs_after=[],
        made=[],
        days=[],
        days_done=days_done,
        state=state,
    )


def twice(make: Callable[[Rig], None], rig: Rig) -> None:
    make(rig)
    make(rig)


def epoch(rig: Rig, *, starts_msc: int = 1, offset_ms: int = 0) -> None:
    source_id = rig.poller.target.source_id
    ClockEpoch.objects.create(source_id=source_id, starts_msc=starts_msc, offset_ms=offset_ms, evidence="a test's")


def unsure_pass(rig: Rig, *, to_msc: int = 6) -> None:
    epoch_id = rig.poller.target.epoch_id
    UnsurePass.objects.create(epoch_id=epoch_id, feed=rig.feeds["EURUSD"], from_msc=5, to_msc=to_msc)


def cursor(rig: Rig) -> None:
    Cursor.objects.create(feed=rig.feeds["EURUSD"], epoch_id=1, last_msc=0, taken=-1, last_batch_id=1)


def period(rig: Rig) -> None:
    Backfill.objects.create(feed=rig.feeds["EURUSD"], from_msc=5, to_msc=5, reason="none")


def minute(rig: Rig, *, polls_ok: int = 0) -> None:
    ConnectionMinute.objects.create(
        source_id=rig.poller.target.source_id, minute_at=_NOW, polls_ok=polls_ok, link="CONNECTED", circuit="CLOSED"
    )


def feed(rig: Rig) -> None:
    known = rig.feeds["EURUSD"]
    Feed.objects.create(source=known.source, instrument=known.instrument, symbol="EURUSD", begins_msc=0)


def token(rig: Rig, sha256: str = 64 * "a") -> None:
    AgentToken.objects.create(source=rig.feeds["EURUSD"].source, sha256=sha256)


def reread(rig: Rig, kind: str, **other: None) -> None:
    known = rig.feeds["EURUSD"]
    Reread.objects.create(**({"source": known.source, "feed": known, "kind": kind} | other))


def threshold(name: str = "STUCK_MS", *, effect: str = "SET", value: int | None = 1, **other: str) -> None:
    Threshold.objects.create(
        **{"name": name, "effect": effect, "value": value, "actor": "hand", "reason": "none"} | other
    )


def feed_hour(rig: Rig, ticks: int = 0, missing_ms: int = 0) -> None:
    FeedHour.objects.create(feed=rig.feeds["EURUSD"], hour=1, ticks=ticks, missing_ms=missing_ms)


def gap(rig: Rig, to_msc: int = 6, kind: str = "QUIET", state: str = "OPEN") -> None:
    Gap.objects.create(feed=rig.feeds["EURUSD"], from_msc=5, to_msc=to_msc, kind=kind, state=state)


# Each row breaks one constraint and no other.
BREAKS: list[tuple[str, Callable[[Rig], object]]] = [
    ("instrument_digits_at_most_8", lambda _: Instrument.objects.create(code="X", digits=9)),
    ("instrument_code_not_empty", lambda _: Instrument.objects.create(code="", digits=5)),
    ("calendar_name_is_lower_case", lambda _: SessionCalendar.objects.create(name="FX", zone="UTC")),
    ("calendar_version_counts_from_1", lambda _: SessionCalendar.objects.create(name="x", zone="UTC", version=0)),
    ("source_name_not_empty", lambda _: Source.objects.create(name="", spec="", scheme="sim")),
    ("feed_once_per_source", feed),
    ("epoch_once_per_start", lambda rig: twice(epoch, rig)),
    ("epoch_offset_within_15_hours", lambda rig: epoch(rig, offset_ms=15 * 3_600_000 + 1)),
    ("epoch_offset_within_15_hours", lambda rig: epoch(rig, offset_ms=-15 * 3_600_000 - 1)),
    ("unsure_pass_once_per_feed", lambda rig: twice(unsure_pass, rig)),
    ("unsure_pass_not_empty", lambda rig: unsure_pass(rig, to_msc=5)),
    ("batch_status_is_known", lambda rig: batch(rig, status="GONE")),
    ("batch_stored_has_outcome", lambda rig: batch(rig, status="STORED")),
    ("batch_ticks_within_bounds", lambda rig: batch(rig, tick_count=-1)),
    ("batch_ticks_within_bounds", lambda rig: batch(rig, tick_count=65_537)),
    ("cursor_taken_not_negative", cursor),
    ("backfill_period_not_empty", period),
    ("connection_minute_once_per_source", lambda rig: twice(minute, rig)),
    ("connection_polls_ok_are_polls", lambda rig: minute(rig, polls_ok=1)),
    ("correction_days_done_not_negative", lambda rig: correction(rig, days_done=-1)),
    ("correction_running_once_per_source", lambda rig: twice(correction, rig)),
    ("correction_state_is_known", lambda rig: correction(rig, state="GONE")),
    ("certificate_once_per_number", lambda rig: two_certificates(rig, revision=2)),
    ("certificate_once_per_revision", lambda rig: two_certificates(rig, number=2)),
    ("certificate_has_number_and_period", lambda rig: certificate(rig, number=0)),
    ("feed_hour_once", lambda rig: twice(feed_hour, rig)),
    ("feed_hour_ticks_not_negative", lambda rig: feed_hour(rig, ticks=-1)),
    ("feed_hour_missing_within_session", lambda rig: feed_hour(rig, missing_ms=1)),
    ("gap_kind_is_known", lambda rig: gap(rig, kind="LOST")),
    ("gap_not_empty", lambda rig: gap(rig, to_msc=5)),
    ("gap_once_per_begin", lambda rig: twice(gap, rig)),
    ("gap_state_is_known", lambda rig: gap(rig, state="GONE")),
    ("incident_severity_is_known", lambda rig: incident(rig, severity="BAD")),
    ("agent_token_is_sha256", lambda rig: token(rig, "the token itself")),
    ("reread_kind_known", lambda rig: reread(rig, "GUESS")),
    ("reread_of_a_feed", lambda rig: reread(rig, "HOURS", feed=None)),
    ("incident_open_once_per_cause", lambda rig: twice(incident, rig)),
    ("incident_acknowledged_by_somebody", lambda rig: incident(rig, acknowledged_by="operator")),
    ("incident_resolved_by_somebody_is_resolved", lambda rig: incident(rig, resolved_by="operator")),
    ("incident_state_is_known", lambda rig: incident(rig, state="GONE")),
    ("channel_kind_known", lambda _: channel(kind="PIGEON", address="the loft")),
    ("channel_severity_known", lambda _: channel(least_severity="BAD")),
    ("channel_has_a_name", lambda _: channel(name="")),
    ("channel_has_an_address_unless_a_log", lambda _: channel(kind="WEBHOOK")),
    ("channel_has_an_address_unless_a_log", lambda _: channel(address="https://example.org")),
    ("channel_events_known", lambda _: channel(events=["OPENED", "CLOSED"])),
    ("channel_events_known", lambda _: channel(events=[])),
    ("feed_agreement_once", lambda rig: agreement(rig, times=2)),
    ("feed_agreement_of_two", lambda rig: agreement(rig, other=rig.feeds["EURUSD"])),
    ("feed_agreement_within_compared", lambda rig: agreement(rig, disagreeing_s=11)),
    ("due_hours_not_empty", lambda rig: due_hours(rig, to_hour=1)),
    ("due_hours_of_a_source_or_a_feed", lambda rig: due_hours(rig, work="CERTIFY")),
    ("due_hours_of_a_source_or_a_feed", lambda rig: due_hours(rig, feed=rig.feeds["EURUSD"])),
    ("unjudged_batch_names_checks", lambda rig: unjudged(rig, checks=[])),
    ("unjudged_batch_judged_or_not", lambda rig: unjudged(rig, judged_at=_NOW, failure="its bytes are gone")),
    ("delivery_once_per_event", lambda rig: delivery(rig, times=2)),
    ("delivery_event_known", lambda rig: delivery(rig, event="CLOSED")),
    ("delivery_delivered_has_a_time", lambda rig: delivery(rig, state="DELIVERED")),
    ("delivery_delivered_has_a_time", lambda rig: delivery(rig, delivered_at=_NOW)),
    ("delivery_delivered_has_a_time", lambda rig: delivery(rig, state="GONE")),
    ("quarantined_once_per_batch_position", lambda rig: twice(held, rig)),
    ("quarantine_decision_says_who_and_why", lambda rig: held(rig, decided_at=_NOW, decided_by="somebody")),
    ("quarantine_decision_says_who_and_why", lambda rig: held(rig, decided_at=_NOW, decision="because")),
    ("quarantine_state_is_known", lambda rig: held(rig, state="GONE")),
    ("threshold_effect_is_known", lambda _: threshold(effect="MAYBE", value=None)),
    ("threshold_has_a_value_where_it_is_set", lambda _: threshold(value=None)),
    ("threshold_has_a_value_where_it_is_set", lambda _: threshold(effect="OFF")),
    ("threshold_is_for_one_scope", lambda _: threshold("GROUP", value=None, group="majors")),
    ("threshold_says_who_and_why", lambda _: threshold(reason="")),
    ("threshold_says_who_and_why", lambda _: threshold(actor="")),
]


@pytest.mark.parametrize(("name", "add"), BREAKS)
def test_a_row_that_breaks_a_constraint_is_refused(name: str, add: Callable[[Rig], object]) -> None:
    rig = make_rig("EURUSD")

    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        add(rig)


def test_no_constraint_is_without_its_test() -> None:
    labels = ("ingest", "quality", "reference", "storage")
    models = [model for label in labels for model in apps.get_app_config(label).get_models()]

    declared = {constraint.name for model in models for constraint in model._meta.constraints}

    assert declared == {name for name, _ in BREAKS}


@pytest.mark.parametrize(
    ("name", "add"),
    [
        ("reference_instrument_code", lambda rig: Instrument.objects.create(code="EURUSD", digits=5)),
        ("reference_source_name", lambda rig: Source.objects.create(name="hand", spec="", scheme="sim")),
        ("ingest_agenttoken_sha256", lambda rig: twice(token, rig)),
        ("ingest_lease_pkey", lambda rig: Lease.objects.create(source=rig.feeds["EURUSD"].source, expires_at=_NOW)),
        ("storage_partition_table_name", lambda rig: twice(partition, rig)),
    ],
)
def test_what_there_is_once_is_refused_a_second_time(name: str, add: Callable[[Rig], object]) -> None:
    rig = make_rig("EURUSD")

    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        add(rig)


def partition(_: Rig) -> None:
    Partition.objects.create(day=_TODAY + dt.timedelta(days=Partition.objects.count()), table_name="tick_20260302")


def test_a_resolved_incident_may_be_followed_by_another_of_its_cause() -> None:
    rig = make_rig("EURUSD")

    incident(rig, state="RESOLVED")
    incident(rig, state="RESOLVED")
    incident(rig)

    assert Incident.objects.count() == 3
