"""The admin on the real database: every list opens, and operators' actions do what they say."""

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client

from ingest import backfill
from ingest.bridge import tokens
from ingest.connections import ConnectionLog
from ingest.models import Batch
from ingest.sources.terminal import Health
from quality import certificates, thresholds
from quality.certificates import New
from quality.models import (
    Certification,
    Channel,
    DueHours,
    Examination,
    FeedAgreement,
    FeedHour,
    Gap,
    Incident,
    Threshold,
    UnjudgedBatch,
)
from quality.notifying import channels, rounds
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import make_rig
from tickhub.audit.models import Entry
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS
from tickhub.core.symbols import SymbolFacts
from tickhub.reference import facts, sources
from tickhub.reference.models import ClockCorrection, Feed, Instrument, Source

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def operator() -> Client:
    user = get_user_model().objects.create_superuser("operator", password="night shift")
    client = Client()
    client.force_login(user)
    return client


def capture_something() -> None:
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.3, 1.2), (5, float("nan"), 1.2)])
    rig.source.now_msc += 10
    rig.poller.poll()
    facts.record(facts={rig.feeds["EURUSD"].pk: SymbolFacts(5, 1e-5, 0, 4, 1e-5, 1e5, "EUR", "USD", "Forex")})
    log = ConnectionLog(source_id=rig.poller.target.source_id, name="hand")
    log.note(Health(), is_ok=True, answers=True)
    log.write()
    correction = ClockCorrection(source=Source.objects.get(), epochs_before=[], epochs_after=[], made=[], days=[])
    correction.save()
    target = rig.poller.target
    sources.record_unsure(epoch_id=target.epoch_id, feed_id=rig.feeds["EURUSD"].pk, from_msc=0, to_msc=1)
    backfill.request(feed_id=rig.feeds["EURUSD"].pk, from_msc=0, to_msc=1, reason="a test")
    threshold = Threshold(name="STUCK_MS", value=0, reason="a test")
    with transaction.atomic(durable=True):
        thresholds.append(threshold=threshold, actor="hand")
    tokens.issue(source_id=rig.poller.target.source_id)
    running.drain()
    running.keep()
    with transaction.atomic():
        channels.save(Channel(name="log", kind="LOG", events=["OPENED"]), actor="a test")
    Incident.objects.update(opened_at=clock.now())
    rounds.notify(until_s=clock.monotonic_s())
    new = New(1, 1, NOON_MSC, NOON_MSC + HOUR_MS, is_whole=True, through_batch_id=1, document="{}", sha256="0" * 64)
    certificates.append([new], feed_id=rig.feeds["EURUSD"].pk)
    feed = Feed.objects.get()
    other = Feed.objects.create(source=feed.source, instrument=feed.instrument, symbol="EURUSD.x", begins_msc=0)
    FeedAgreement.objects.create(feed=feed, other=other, hour=1, compared_s=10, disagreeing_s=0, worst_points=1)
    DueHours.objects.create(work="EXAMINE", source=Source.objects.get(), from_hour=1, to_hour=2)
    Certification.objects.create(source=Source.objects.get(), through_batch_id=1)
    UnjudgedBatch.objects.create(batch_id=1, source=Source.objects.get(), checks=["STUCK"])
    FeedHour.objects.create(feed=rig.feeds["EURUSD"], hour=1, ticks=0)
    Examination.objects.create(source=Source.objects.get(), next_hour=2)
    Gap.objects.create(feed=rig.feeds["EURUSD"], from_msc=5, to_msc=6, kind="QUIET")


def test_every_list_and_every_row_opens(operator: Client) -> None:
    capture_something()

    for model, site in admin.site._registry.items():
        if model._meta.app_label in {"reference", "ingest", "quality", "storage", "audit"}:
            base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
            assert operator.get(base).status_code == 200, base
            row = site.model._default_manager.first()
            assert row is not None, base
            assert operator.get(f"{base}{row.pk}/change/").status_code == 200, base


def test_a_failed_batch_is_released_by_its_action(operator: Client) -> None:
    capture_something()
    Batch.objects.update(status="FAILED")
    batch = Batch.objects.get()

    operator.post("/admin/ingest/batch/", {"action": "release", "_selected_action": [batch.pk]})

    assert Batch.objects.get().status == "WAITING"


def test_an_incident_is_acknowledged_and_resolved_and_its_cause_opens_a_new_one(operator: Client) -> None:
    capture_something()
    chosen = list(Incident.objects.filter(cause="CROSSED").values_list("pk", flat=True))

    operator.post("/admin/quality/incident/", {"action": "acknowledge", "_selected_action": chosen})
    assert Incident.objects.get(cause="CROSSED").state == "ACKNOWLEDGED"
    operator.post("/admin/quality/incident/", {"action": "resolve", "_selected_action": chosen})
    assert Incident.objects.get(cause="CROSSED").state == "RESOLVED"
    told = Entry.objects.filter(object=f"incident {chosen[0]}").order_by("pk").values_list("actor", "action")
    assert list(told) == [("operator", "INCIDENT_ACKNOWLEDGED"), ("operator", "INCIDENT_RESOLVED")]


def test_the_price_basis_of_an_instrument_can_be_corrected(operator: Client) -> None:
    capture_something()
    instrument = Instrument.objects.get()

    operator.post(
        f"/admin/reference/instrument/{instrument.pk}/change/",
        {"digits": 5, "price_basis": "QUOTE", "negative_prices": "on"},
    )

    assert Instrument.objects.get().negative_prices


def test_facts_cannot_be_deleted(operator: Client) -> None:
    capture_something()
    batch = Batch.objects.get()

    assert operator.post(f"/admin/ingest/batch/{batch.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Batch.objects.count() == 1


def test_which_source_is_preferred_can_be_changed_and_nothing_else_of_it(operator: Client) -> None:
    capture_something()
    source = Source.objects.get()

    operator.post(f"/admin/reference/source/{source.pk}/change/", {"priority": 7, "name": "another"})

    assert Source.objects.values_list("priority", "name").get() == (7, "hand")


CHANNEL = {"name": "pager", "kind": "WEBHOOK", "address": "https://hooks.example.org/x", "least_severity": "ERROR"}


def test_a_channel_is_added_and_changed_and_both_are_audited(operator: Client) -> None:
    form = CHANNEL | {"causes": "CROSSED, DISK_FULL", "events": ["OPENED", "RESOLVED"], "is_on": "on"}
    assert operator.get("/admin/quality/channel/add/").status_code == 200
    operator.post("/admin/quality/channel/add/", form)
    channel = Channel.objects.get()
    operator.post(f"/admin/quality/channel/{channel.pk}/change/", form | {"is_on": "", "causes": ""})

    assert (channel.causes, channel.events, channel.is_on) == (["CROSSED", "DISK_FULL"], ["OPENED", "RESOLVED"], True)
    changed = Channel.objects.get()
    assert (changed.causes, changed.is_on) == ([], False)
    told = Entry.objects.filter(object=f"channel {channel.pk}").order_by("pk").values_list("actor", "action")
    assert list(told) == [("operator", "CHANNEL_ADDED"), ("operator", "CHANNEL_CHANGED")]


def test_a_channel_over_which_nothing_could_be_told_is_refused_in_one_line(operator: Client) -> None:
    answer = operator.post("/admin/quality/channel/add/", CHANNEL | {"address": "pager", "events": ["OPENED"]})

    assert "channel pager: expected an address like https://host/path" in answer.content.decode()
    assert not Channel.objects.exists()
