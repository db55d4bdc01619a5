"""The Celery message that carries one batch id, written as kombu writes it to Redis.

``send_task`` builds a client and a dozen objects for each message, 2 ms on the way of every tick. The fields are those
of Celery's message protocol 2 in kombu's envelope for Redis; a test compares them with what ``send_task`` writes.
"""

import base64
import json
import os
import socket
import uuid

TASK = "tickhub.process_batch"
QUEUE = "batches"

_ORIGIN = f"gen{os.getpid()}@{socket.gethostname()}"
_REPLY_TO = str(uuid.uuid4())
_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def encode(batch_id: int) -> str:
    """Return the message that makes a worker process one batch."""
    task_id = str(uuid.uuid4())
    kwargs = {"batch_id": batch_id}
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps([[], kwargs, _EMBED]).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": _headers(task_id, kwargs),
            "properties": {
                "correlation_id": task_id,
                "reply_to": _REPLY_TO,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": QUEUE},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    )


def _headers(task_id: str, kwargs: dict[str, int]) -> dict[str, object]:
    return {
        "lang": "py",
        "task": TASK,
        "id": task_id,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": task_id,
        "parent_id": None,
        "argsrepr": "()",
        "kwargsrepr": repr(kwargs),
        "origin": _ORIGIN,
        "ignore_result": None,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
