"""Over the bridge ticks are judged as by REST, captured not at all, and in their turn among the frames."""

import pytest
from django.test import Client

from ingest.wire import limits
from tests.integration.bridge.conftest import NOON_MSC, Desk, NewDesk
from tests.integration.bridge.local import LocalBridge
from tests.integration.bridge.test_frames import connected, send

TICKS = [
    {"time_msc": NOON_MSC, "bid": 1.1, "ask": 1.2},
    {"time_msc": NOON_MSC + 1, "bid": 1.3, "ask": 1.2},
    {"time_msc": NOON_MSC + 2, "bid": -1.1, "ask": 1.2},
]


def test_ticks_are_judged_as_the_endpoint_does_and_not_captured(desk: Desk) -> None:
    client = connected(desk)
    send(client, 1, [NOON_MSC, 0], 5)
    body = {"symbol": "EURUSD", "ticks": TICKS, "poll_msc": NOON_MSC + 10}
    client.say(type="validate", number=7, body=body)
    client.serve(lambda: len(client.validated) == 1 and len(client.answers) == 1)

    (answer,) = client.validated
    by_rest = Client().post("/api/v1/quality/validate/", body, content_type="application/json").json()
    assert (answer["number"], answer["status"], answer["body"]) == (7, 200, by_rest)
    assert [tick["flags"] for tick in answer["body"]["ticks"]] == [[], ["CROSSED"], ["NEGATIVE"]]
    assert desk.captured() == 1


def test_what_cannot_be_judged_is_answered_in_one_line_and_the_connection_lives_on(desk: Desk) -> None:
    client = connected(desk)
    for number, body in enumerate(({}, {"symbol": "XAUUSD", "ticks": []}, {"symbol": "EURUSD", "ticks": [{}]})):
        client.say(type="validate", number=number, body=body)
    # More than may be unanswered at once: none is dropped.
    for number in range(3, 20):
        client.say(type="validate", number=number, body={"symbol": "EURUSD", "ticks": []})
    client.serve(lambda: len(client.validated) == 20)
    send(client, 1, [NOON_MSC, 0], 5)
    client.serve(lambda: len(client.answers) == 1)

    assert [answer["number"] for answer in client.validated] == list(range(20))
    assert [(answer["status"], answer["body"].get("detail")) for answer in client.validated[:3]] == [
        (400, "ticks: expected a list of objects"),
        (404, "symbol XAUUSD is not known"),
        (400, "tick 0: time_msc: expected a whole number from -9223372036854775808 to 9223372036854775807"),
    ]
    assert client.validated[3]["body"]["count"] == 0


def test_an_answer_that_is_too_long_for_a_message_says_so(
    local_bridge: LocalBridge, new_desk: NewDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connected(new_desk(local_bridge))
    monkeypatch.setattr(limits, "MESSAGE_BYTES", 20_000)
    client.say(type="validate", number=1, body={"symbol": "EURUSD", "ticks": [TICKS[2]] * 200})
    client.serve(lambda: len(client.validated) == 1)

    assert client.validated[0]["status"] == 413
    assert "ask for fewer ticks at once" in client.validated[0]["body"]["detail"]
