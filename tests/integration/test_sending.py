"""What is sent to web addresses and mail servers: in time, signed, and without what may not leave the system."""

import hmac
import json

import pytest
from django.db import connection
from pytest_django import Settings

from quality import incidents, lifecycle
from quality.models import Delivery, Finding, Incident
from quality.notifying import deliveries, messages, rounds, sending
from quality.notifying.sending import SendFailed
from tests import piping, running
from tests.builders import make_ticks
from tests.capturing import make_rig
from tests.receivers import dripping, mailbox, receiver
from tests.telling import add, condition, notify
from tickhub import pipeline
from tickhub.reference.models import Feed, Source

pytestmark = pytest.mark.usefixtures("database")


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
