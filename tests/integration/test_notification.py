"""Incidents are told over channels: what belongs to each, once recorded, again after a failure, with the same id."""

import datetime as dt
import importlib
import json
import logging

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from quality import incidents, lifecycle
from quality.models import Channel, Delivery, Finding, Incident
from quality.notifying import deliveries, messages, rounds, sending
from quality.notifying.channels import ChannelRefused
from tests import running
from tests.capturing import make_rig
from tests.receivers import receiver
from tests.telling import ALL, add, condition, notify, pass_time, save, told
from tickhub.audit.models import Entry
from tickhub.core import clock

pytestmark = pytest.mark.usefixtures("database")


def test_each_event_of_an_incident_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    add()
    incident_id = condition(free_bytes=7)

    notify()
    lifecycle.escalate(after_s=0)
    notify()
    lifecycle.acknowledge(incident_ids=[incident_id], actor="ann")
    incidents.clear_condition(cause="DISK_FULL")
    condition_seen_again = [notify(), notify()]

    assert told() == [("DISK_FULL", event, "DELIVERED") for event in ALL]
    assert condition_seen_again == [2, 0]
    lines = [record for record in caplog.records if record.getMessage() == "incident"]
    assert [(vars(line)["event"], line.levelname) for line in lines] == [
        ("OPENED", "ERROR"),
        ("ESCALATED", "ERROR"),
        ("ACKNOWLEDGED", "INFO"),
        ("RESOLVED", "INFO"),
    ]
    assert (vars(lines[0])["cause"], vars(lines[0])["evidence"]) == ("DISK_FULL", '{"free_bytes": 7}')


def test_a_channel_is_told_what_it_is_for() -> None:
    add("errors", least_severity="ERROR", events=["OPENED"])
    add("of one cause", causes=["BACKLOG_AGE", "AGENT_AWAY"], events=["RESOLVED"])
    add("off", is_on=False)
    condition("DISK_FULL")
    condition("BACKLOG_AGE", "WARNING")
    for cause in ("DISK_FULL", "BACKLOG_AGE"):
        incidents.clear_condition(cause=cause)

    notify()

    found = Delivery.objects.order_by("channel__name").values_list("channel__name", "incident__cause", "event")
    assert list(found) == [("errors", "DISK_FULL", "OPENED"), ("of one cause", "BACKLOG_AGE", "RESOLVED")]


def test_a_storm_of_millions_of_bad_ticks_is_told_once() -> None:
    add()
    feed = make_rig("EURUSD").feeds["EURUSD"]
    for number in range(100):
        Finding.objects.create(cause="CROSSED", source=feed.source, feed=feed, batch_id=number, count=65_536)
        if number % 25 == 0:
            running.keep()
            notify()
    running.keep()
    notify()

    assert told() == [("CROSSED", "OPENED", "DELIVERED")]
    assert Incident.objects.get().count == 6_553_600


def test_of_incidents_from_before_a_channel_was_switched_on_nothing_is_told() -> None:
    condition("BEFORE")
    channel = add()
    notify()
    channel.is_on = False
    save(channel)
    condition("BETWEEN")
    channel.is_on = True
    save(channel)
    condition("AFTER")

    lifecycle.escalate(after_s=0)
    notify()

    assert told() == [("AFTER", "OPENED", "DELIVERED"), ("AFTER", "ESCALATED", "DELIVERED")]


def test_a_web_address_that_fails_twice_gets_the_message_the_third_time_with_one_id(settings: Settings) -> None:
    settings.WEBHOOK_KEY = "key"
    with receiver(503, 500) as web:
        add(kind="WEBHOOK", address=web.address, events=["OPENED"])
        condition(free_bytes=7)

        taken = [notify()]
        waiting = Delivery.objects.get()
        channel = Channel.objects.get()
        for _ in range(2):
            pass_time(seconds=1)
            taken.append(notify())

    assert taken == [0, 0, 1]
    assert (waiting.state, waiting.attempts, waiting.error) == ("WAITING", 1, "webhook: answered with status 503")
    assert channel.failures == 1
    done = Delivery.objects.get()
    assert (done.state, done.attempts, done.error, Channel.objects.get().failures) == ("DELIVERED", 3, "", 0)
    assert done.delivered_at is not None
    documents = [json.loads(body) for _, body in web.posted]
    assert [document["id"] for document in documents] == 3 * [str(done.message_id)]
    assert documents[0]["event"] == "OPENED"
    assert documents[0]["summary"] == "ERROR DISK_FULL opened"
    assert documents[0]["incident"]["evidence"] == {"free_bytes": 7}


def test_a_channel_that_fails_rests_and_the_others_go_on() -> None:
    with receiver() as web:
        gone = web.address
    add("gone", kind="WEBHOOK", address=gone, events=["OPENED"])
    add("log", events=["OPENED"])
    for cause in ("ONE", "TWO", "THREE"):
        condition(cause)
    Channel.objects.filter(name="gone").update(failures=20)

    assert notify() == 3

    waiting = Delivery.objects.filter(channel__name="gone")
    assert sorted(waiting.values_list("attempts", flat=True)) == [0, 0, 1]
    assert waiting.get(attempts=1).error.startswith("webhook: ConnectionRefusedError")
    rest = Channel.objects.get(name="gone").next_at - clock.now()
    assert rest <= dt.timedelta(seconds=60)


def test_what_was_tried_for_a_day_is_failed_and_stays_visible(caplog: pytest.LogCaptureFixture) -> None:
    with receiver(*(3 * [500])) as web:
        add(kind="WEBHOOK", address=web.address, events=["OPENED"])
        condition()
        notify()
        pass_time(hours=23, minutes=59)
        notify()
        almost = Delivery.objects.get().state
        pass_time(hours=24, minutes=1)

        notify()

    failed = Delivery.objects.get()
    assert (almost, failed.state, failed.attempts) == ("WAITING", "FAILED", 2)
    assert failed.error == "webhook: answered with status 500"
    assert "incident could not be told" in caplog.messages


def test_after_a_day_without_a_worker_a_message_is_still_tried_once() -> None:
    with receiver() as web:
        add(kind="WEBHOOK", address=web.address, events=["OPENED"])
        condition()
        deliveries.make()
        pass_time(days=2)

        assert notify() == 1


def test_a_worker_that_dies_between_sending_and_recording_sends_again_with_the_same_id() -> None:
    with receiver() as web:
        channel = add(kind="WEBHOOK", address=web.address, events=["OPENED"])
        condition()
        deliveries.make()
        taken = rounds.take()
        assert taken is not None
        sending.send(messages.of(taken.delivery), kind=channel.kind, address=channel.address)
        # Nothing is recorded. While the dead worker might still be sending, nobody else does.
        at_once = notify()
        pass_time(seconds=1)
        later = notify()

    ids = [json.loads(body)["id"] for _, body in web.posted]
    assert (at_once, later, len(ids), len(set(ids))) == (0, 1, 2, 1)
    assert Delivery.objects.get().attempts == 2


def test_two_rounds_at_once_make_one_delivery_and_send_it_once() -> None:
    add()
    condition()
    deliveries.make()

    assert (deliveries.make(), rounds.take() is not None, rounds.take()) == (0, True, None)
    assert Delivery.objects.count() == 1


def test_over_one_channel_one_message_is_under_way_at_a_time() -> None:
    add("one", events=["OPENED"])
    add("other", events=["OPENED"])
    for cause in ("ONE", "TWO"):
        condition(cause)
    deliveries.make()

    taken = [rounds.take(), rounds.take(), rounds.take()]

    names = [None if one is None else one.delivery.channel.name for one in taken]
    assert sorted(filter(None, names)) == ["one", "other"]
    assert names[2] is None
    assert notify() == 0


def test_a_channel_that_took_a_message_takes_the_next_at_once() -> None:
    add(events=["OPENED"])
    for cause in ("ONE", "TWO", "THREE"):
        condition(cause)

    assert notify() == 3


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"address": "x"}, "channel pager: a log has no address, found 'x'"),
        (
            {"kind": "EMAIL", "address": "ann@example.org"},
            "channel pager: TICKHUB_EMAIL_HOST is not set, no mail can be sent",
        ),
        ({"kind": "WEBHOOK", "address": "ftp://host/x"}, "channel pager: expected an address like https://host/path"),
        ({"kind": "WEBHOOK", "address": "https://"}, "channel pager: expected an address like https://host/path"),
        (
            {"kind": "WEBHOOK", "address": "http://h:99999/"},
            "channel pager: expected an address like https://host/path",
        ),
        ({"kind": "WEBHOOK", "address": "http://h/a b"}, "channel pager: expected an address like https://host/path"),
        (
            {"kind": "WEBHOOK", "address": "https://ann:pw@host/"},
            "channel pager: an address must not hold a user or password",
        ),
        ({"causes": ["crossed"]}, "channel pager: cause 'crossed' is none, expected capitals like CROSSED"),
    ],
)
def test_a_channel_over_which_nothing_could_be_told_is_refused(facts: dict[str, object], line: str) -> None:
    with pytest.raises(ChannelRefused) as refused:
        add("pager", **facts)

    assert str(refused.value) == line
    assert not Channel.objects.exists()


def test_no_mail_address_is_refused(settings: Settings) -> None:
    settings.EMAIL_HOST = "mail.example.org"

    with pytest.raises(ChannelRefused, match="'bob' is no mail address"):
        add(kind="EMAIL", address="ann@example.org, bob")


def test_changes_of_a_channel_are_audited_without_the_path_of_an_address() -> None:
    channel = add(kind="WEBHOOK", address="https://hooks.example.org/T000/secret")
    channel.address = "https://hooks.example.org/T000/other"
    channel.least_severity = "ERROR"
    save(channel, actor="ann")
    save(channel, actor="nobody")

    added, changed = Entry.objects.filter(object=f"channel {channel.pk}").order_by("pk")
    assert (added.actor, added.action, added.details["name"]) == ("operator", "CHANNEL_ADDED", [None, "pager"])
    assert (changed.actor, changed.action) == ("ann", "CHANNEL_CHANGED")
    assert changed.details == {
        "least_severity": ["WARNING", "ERROR"],
        "address": 2 * ["https://hooks.example.org/…"],
    }


def test_what_waits_for_a_channel_that_is_switched_off_is_failed() -> None:
    channel = add()
    condition()
    deliveries.make()
    channel.is_on = False

    save(channel)

    failed = Delivery.objects.get()
    assert (failed.state, failed.error, notify()) == ("FAILED", "the channel was switched off", 0)


def test_the_first_channel_is_a_log_of_everything_and_leaves_one_of_its_name_alone() -> None:
    add("other", least_severity="ERROR")
    migration = importlib.import_module("quality.migrations.0013_default_channel")

    for _ in range(2):
        with connection.cursor() as cursor:
            cursor.execute(migration.ADD)

    log = Channel.objects.get(name="log")
    assert (log.kind, log.least_severity, log.causes, log.events, log.is_on) == ("LOG", "WARNING", [], ALL, True)
    assert Channel.objects.count() == 2


def test_health_tells_for_how_long_no_notifier_has_looked_at_what_is_to_be_told(client: Client) -> None:
    before = client.get("/api/v1/health/").json()["oldest_untold_s"]
    condition()
    Incident.objects.update(opened_at=clock.now() - dt.timedelta(minutes=5))
    without = client.get("/api/v1/health/").json()["oldest_untold_s"]
    notify()

    assert (before, client.get("/api/v1/health/").json()["oldest_untold_s"]) == (0, 0)
    assert 300 <= without < 400
