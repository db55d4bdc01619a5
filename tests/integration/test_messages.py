"""Our own message is the one that Celery would have sent."""

import base64
import json
from typing import Any

import pytest
from celery import Celery

from storage import latest
from tickhub import messages, publishing

pytestmark = pytest.mark.usefixtures("database")

# What differs from message to message, or from process to process.
_OWN = {"id", "root_id", "origin", "correlation_id", "reply_to", "delivery_tag"}


def shape(message: dict[str, Any]) -> dict[str, Any]:
    """The message with each of its own values replaced by its type."""
    return {
        key: shape(value) if isinstance(value, dict) else type(value).__name__ if key in _OWN else value
        for key, value in message.items()
    }


def test_a_published_id_is_the_message_that_celery_itself_sends() -> None:
    # As in a poller, which has loaded no task: a loaded one adds its own limits.
    app = Celery("test", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.send_task(messages.TASK, kwargs={"batch_id": 81}, queue=messages.QUEUE, retry=False)
    publishing.publish_many([81])

    ours, celerys = (json.loads(raw) for raw in latest.client().lrange(messages.QUEUE, 0, -1))

    assert shape(ours) == shape(celerys)
    assert list(ours["headers"]) == list(celerys["headers"])
    assert base64.b64decode(ours["body"]) == base64.b64decode(celerys["body"])
    assert ours["headers"]["id"] == ours["headers"]["root_id"] == ours["properties"]["correlation_id"]


def test_ids_are_taken_in_the_order_of_their_publication() -> None:
    publishing.publish_many([1, 2, 3])

    taken = [json.loads(str(latest.client().rpop(messages.QUEUE)))["headers"]["kwargsrepr"] for _ in range(3)]

    assert taken == ["{'batch_id': 1}", "{'batch_id': 2}", "{'batch_id': 3}"]
