"""Incidents are told over channels: what belongs to each, once recorded, again after a failure, with the same id."""

import datetime as dt
import hmac
import importlib
import json
import logging

import pytest
from django.db import connection, transaction
from django.test import Client
from pytest_django import Settings

from quality import incidents, lifecycle
from quality.models import Channel, Delivery, Finding, Incident
from quality.notifying import channels, deliveries, messages, rounds, sending
from quality.notifying.channels import ChannelRefused
from quality.notifying.sending import SendFailed
from tests import piping, running
from tests.builders import make_ticks
from tests.capturing import make_rig
from tests.receivers import dripping, mailbox, receiver
from tickhub import pipeline
from tickhub.audit.models import Entry
from tickhub.core import clock
from tickhub.reference.models import Feed, Source

pytestmark = pytest.mark.usefixtures("database")

ALL = ["OPENED", "ESCALATED", "ACKNOWLEDGED", "RESOLVED"]


def add(name: str = "pager", **facts: object) -> Channel:
    """Add a channel as an operator does."""
    channel = Channel(**({"name": name, "kind": "LOG", "events": ALL} | facts))
    save(channel)
    return channel


def save(channel: Channel, actor: str = "operator") -> None:
    with transaction.atomic(durable=True):
        channels.save(channel, actor=actor)


def condition(cause: str = "DISK_FULL", severity: str = "ERROR", **evidence: object) -> int:
    incidents.raise_condition(cause=cause, evidence=evidence, severity=severity)
    return Incident.objects.get(cause=cause).pk


def notify() -> int:
    return rounds.notify(until_s=clock.monotonic_s() + 10)


def pass_time(**ago: float) -> None:
    """Let all that was made have been made earlier, and whatever waits be due."""
    earlier = clock.now() - dt.timedelta(**ago)
    Delivery.objects.update(made_at=earlier, next_at=earlier)
    Channel.objects.update(next_at=earlier)


def told() -> list[tuple[str, str, str]]:
    """What was to be told, in order: cause, event, state."""
    rows = Delivery.objects.order_by("id").values_list("incident__cause", "event", "state")
    return [(cause, event, state) for cause, event, state in rows]


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


def test_a_web_address_can_check_who_wrote(settings: Settings) -> None:
    settings.WEBHOOK_KEY = None
    with receiver() as web:
        add(kind="WEBHOOK", address=web.address, events=["OPENED", "RESOLVED"])
        condition()
        notify()
        settings.WEBHOOK_KEY = "key"
        incidents.clear_condition(cause="DISK_FULL")
        notify()

    (unsigned, _), (signed, body) = web.posted
    assert "X-Tickhub-Signature" not in unsigned
    assert signed["X-Tickhub-Signature"] == f"sha256={hmac.new(b'key', body, 'sha256').hexdigest()}"
    assert signed["Content-Type"] == "application/json"


def test_a_redirect_is_not_followed() -> None:
    with receiver(302) as web:
        add(kind="WEBHOOK", address=web.address)
        condition()

        notify()

    assert len(web.posted) == 1
    assert Delivery.objects.get().error == "webhook: answered with status 302"


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


def test_a_web_address_that_drips_its_answer_is_left_when_the_time_is_over() -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ") as port:
        channel = add(kind="WEBHOOK", address=f"http://127.0.0.1:{port}/", events=["OPENED"])
        condition()
        deliveries.make()
        taken = rounds.take()
        assert taken is not None

        with pytest.raises(SendFailed, match=r"^webhook: not taken within 0\.5 s$"):
            sending.send(messages.of(taken.delivery), kind="WEBHOOK", address=channel.address, within_s=0.5)


def test_a_mail_server_that_drips_its_greeting_is_left_when_the_time_is_over(settings: Settings) -> None:
    settings.EMAIL_USE_TLS, settings.EMAIL_HOST = False, "127.0.0.1"
    add(kind="EMAIL", address="ann@example.org", events=["OPENED"])
    condition()
    deliveries.make()
    taken = rounds.take()
    assert taken is not None
    with dripping(b"220 ") as settings.EMAIL_PORT, pytest.raises(SendFailed, match=r"^mail: not taken within 0\.5 s$"):
        sending.send(messages.of(taken.delivery), kind="EMAIL", address="ann@example.org", within_s=0.5)


def test_mail_goes_to_every_address_with_the_facts(settings: Settings) -> None:
    settings.EMAIL_USE_TLS, settings.EMAIL_HOST = False, "127.0.0.1"
    settings.DEFAULT_FROM_EMAIL = "tickhub@example.org"
    with mailbox() as box:
        settings.EMAIL_PORT = box.port
        add(kind="EMAIL", address="ann@example.org, bob@example.org", events=["OPENED"])
        condition("AGENT_AWAY", away_s=7, message="start the\nagent", name="büro")
        assert notify() == 1

    ((to, sent),) = box.mails
    assert to == ["ann@example.org", "bob@example.org"]
    assert (sent["Subject"], sent["To"]) == ("[tickhub] ERROR AGENT_AWAY opened", "ann@example.org, bob@example.org")
    assert sent["From"] == "tickhub@example.org"
    assert sent["Message-ID"] == f"<{Delivery.objects.get().message_id}@tickhub>"
    assert "name: büro\naway_s: 7\nmessage: start the agent\n" in sent.get_content().replace("\r\n", "\n")


def test_a_mail_server_that_refuses_is_tried_again_and_its_words_are_not_repeated(settings: Settings) -> None:
    settings.EMAIL_USE_TLS, settings.EMAIL_HOST = False, "127.0.0.1"
    with mailbox("554 the password of ann is wrong") as box:
        settings.EMAIL_PORT = box.port
        add(kind="EMAIL", address="ann@example.org", events=["OPENED"])
        condition()
        notify()

    waiting = Delivery.objects.get()
    assert (waiting.state, waiting.error) == ("WAITING", "mail: SMTPDataError 554")


def test_words_of_a_web_server_are_not_repeated() -> None:
    with dripping(b"the password is hunter2\r\n") as port:
        add(kind="WEBHOOK", address=f"http://127.0.0.1:{port}/", events=["OPENED"])
        condition()
        notify()

    assert Delivery.objects.get().error == "webhook: BadStatusLine"


def test_no_account_number_password_or_token_is_in_a_message(settings: Settings) -> None:
    settings.EMAIL_USE_TLS, settings.EMAIL_HOST = False, "127.0.0.1"
    settings.WEBHOOK_KEY = "whsec-word"
    settings.SECRET_KEY = "the-secret-key-of-logins"
    hidden = ["50123456", "hunter2", "tk_live_9", "whsec-word", "the-secret-key-of-logins", "pgpass"]
    feed = make_rig("EURUSD").feeds["EURUSD"]
    Source.objects.update(name="mt5:50123456")
    Feed.objects.update(symbol="EURUSD whsec-word")
    evidence: dict[str, object] = {
        "code": -6,
        "login": 50123456,
        "nested": {"agent_token": "tk_live_9", "Password": "hunter2"},
        "text": "{'login': '50123456', 'password': 'hunter2'}",
        "error": "could not connect to postgresql://tickhub:pgpass@db/ticks",
        "lines": ["signed by whsec-word", "token=tk_live_9 was refused", "the-secret-key-of-logins"],
    }
    with receiver() as web, mailbox() as box:
        settings.EMAIL_PORT = box.port
        add("web", kind="WEBHOOK", address=web.address, events=["ACKNOWLEDGED"])
        add("mail", kind="EMAIL", address="ann@example.org", events=["ACKNOWLEDGED"])
        Finding.objects.create(
            cause="READ_FAILED", source=feed.source, feed=feed, batch_id=81, count=1, evidence=evidence
        )
        running.keep()
        lifecycle.acknowledge(incident_ids=[Incident.objects.get().pk], actor="50123456@broker")
        assert notify() == 2

    document = json.loads(web.posted[0][1])
    sent = str(web.posted) + box.mails[0][1].as_string()
    assert [text for text in hidden if text in sent] == []
    assert document["incident"]["evidence"] == {"code": -6, "batch": 81, "left_out": 5}
    assert document["incident"]["source"] == "mt…"
    assert document["incident"]["feed"] == "EURUSD …"
    assert document["incident"]["acknowledged_by"] == "…@broker"


def test_of_a_failed_batch_it_is_told_what_kind_of_error_stopped_it() -> None:
    batch_id = piping.capture(make_rig("EURUSD"), make_ticks(piping.GOOD))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE batch_payload SET ticks = substr(ticks, 1, 60)")
    pipeline.process(batch_id=batch_id)
    running.keep()

    told = messages.of(Delivery(incident=Incident.objects.get(), event="OPENED")).incident["evidence"]

    assert told == {"batch": batch_id, "kind": "BatchCorrupt", "left_out": 1}


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
