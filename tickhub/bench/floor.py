"""The floor of latency: what two bare processes need for a batch's two commits and the message between them.

One saves a row with a batch's bytes and sends its id through Redis; the other takes it, reads the bytes, inserts as
many ticks, marks the row and commits. The statements are sent together as in the pipeline; nothing is judged, proven or
decoded, and there is no Celery. Paced like polls, for that is how batches come.
"""

import multiprocessing
import time

import numpy as np
import numpy.typing as npt
import redis
from django.conf import settings

from tickhub.bench import scratch
from tickhub.core.ticks import TICK_SIZE_BYTES

_QUEUE = "bench-floor"
# Batches before the measured ones: connections, plans and caches are warm.
_WARM_UP = 40
_WAIT_S = 10

_MAKE_BATCHES = (
    "CREATE TABLE floor_batch (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, captured_at timestamptz NOT NULL,"
    " status text NOT NULL, ticks bytea NOT NULL)"
)
_MAKE_TICKS = "CREATE TABLE floor_tick (LIKE tick INCLUDING ALL)"
_SAVE = "INSERT INTO floor_batch (captured_at, status, ticks) VALUES (clock_timestamp(), 'WAITING', %b) RETURNING id"
_ASK = "SELECT ticks FROM floor_batch WHERE id = %b AND status = 'WAITING' FOR UPDATE SKIP LOCKED"
_STORE = (
    "INSERT INTO floor_tick (time_msc, batch_id, bid, ask, flags, feed_id, seq)"
    " SELECT %(id)b * 1000 + n, %(id)b, 1.1, 1.2, 6, 1, 0 FROM generate_series(0, %(count)b - 1) AS n"
)
_MARK = "UPDATE floor_batch SET status = 'STORED' WHERE id = %b"
_TIMES = (
    "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - captured_at) * 1000 FROM floor_batch"
    " WHERE id > %s ORDER BY id"
)


def measure(*, rate: int, batches: int) -> npt.NDArray[np.float64]:
    """Return for each batch the time from before its save to the commit of its mark, in ms; float64 of (batches,).

    :param rate: ticks per second, which give a batch's size at the poll interval
    """
    interval_s = settings.POLL_INTERVAL_MS / 1000
    count = max(round(rate * interval_s), 1)
    with scratch.connect(autocommit=True) as admin:
        admin.execute(_MAKE_BATCHES)
        admin.execute(_MAKE_TICKS)
    worker = multiprocessing.get_context("fork").Process(target=_work, args=(_WARM_UP + batches, count))
    worker.start()
    _save(_WARM_UP + batches, count, interval_s)
    worker.join(_WAIT_S)
    if worker.exitcode != 0:
        worker.kill()
        msg = f"the bare worker of the floor ended with {worker.exitcode}"
        raise RuntimeError(msg)
    with scratch.connect(autocommit=True) as admin:
        found = np.array(admin.execute(_TIMES, [_WARM_UP]).fetchall(), dtype=np.float64)[:, 0]
        admin.execute("DROP TABLE floor_batch, floor_tick")
    return found


def _client() -> "redis.Redis":
    return redis.Redis.from_url(scratch.environment()["REDIS_URL"])


def _save(batches: int, count: int, interval_s: float) -> None:
    payload = bytes(TICK_SIZE_BYTES * count)
    client = _client()
    with scratch.connect(autocommit=True) as connection:
        for _ in range(batches):
            begun_s = time.perf_counter()
            row = connection.execute(_SAVE, [payload]).fetchone()
            client.lpush(_QUEUE, str(row[0] if row else ""))
            time.sleep(max(interval_s - (time.perf_counter() - begun_s), 0.0))


def _work(batches: int, count: int) -> None:
    client = _client()
    with scratch.connect(autocommit=True) as connection:
        for _ in range(batches):
            answer = client.brpop([_QUEUE], timeout=_WAIT_S)
            if answer is None:
                msg = f"no batch of the floor came within {_WAIT_S} s"
                raise RuntimeError(msg)
            batch_id = int(answer[1])
            with connection.pipeline():
                connection.execute("BEGIN")
                asked = connection.execute(_ASK, [batch_id], binary=True)
            asked.fetchone()
            with connection.pipeline():
                connection.execute(_STORE, {"id": batch_id, "count": count})
                connection.execute(_MARK, [batch_id])
                connection.execute("COMMIT")
