"""The ceiling of the write path: rows ready packed, one binary COPY and one commit for each batch, nothing else."""

import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier

import numpy as np
from django.db import connection

from storage import packing, reader
from storage.packing import Rows
from tickhub.bench import scratch

DATABASE = "tickhub_bench_ceiling"
_COPY = f"COPY tick ({', '.join(name for name, _ in packing.COLUMNS)}) FROM STDIN (FORMAT BINARY)"


def pack_stored(*, batch_ticks: int, limit: int) -> tuple[list[bytes], int]:
    """Pack ticks of the pipeline's own table, in the order it stored them, into batches of at most one size.

    Returns the batches and how many ticks they hold.
    """
    batches: list[bytes] = []
    ticks = 0
    for rows in _stored_in_order(limit):
        ticks += len(rows)
        for start in range(0, len(rows), batch_ticks):
            batches.append(packing.pack(rows.take(slice(start, start + batch_ticks)).sorted_by_key()))
    return batches, ticks


def _stored_in_order(limit: int) -> Iterator[Rows]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, first_msc, last_msc FROM ingest_batch WHERE tick_count > 0 ORDER BY id")
        batches = cursor.fetchall()
    total = 0
    for batch_id, first_msc, last_msc in batches:
        if total >= limit:
            return
        found = reader.read_batch(batch_id=batch_id, first_msc=first_msc, last_msc=last_msc)
        total += len(found.ticks)
        yield Rows(found.feed_id, found.seq, found.ticks, found.quality, batch_id)


def make_template() -> None:
    """Copy the working database with all its partitions and empty them: the ceiling's tables are the same."""
    scratch.renew(DATABASE, template="tickhub_bench")
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE tick")
    scratch.renew()


def run(batches: list[bytes], ticks: int, *, connections: int) -> float:
    """Write all batches from so many connections at once; return ticks per second."""
    with scratch.connect(DATABASE, autocommit=True) as admin:
        admin.execute("TRUNCATE tick")
        admin.execute("CHECKPOINT")
    # The writers inherit the packed rows by forking; nothing is sent to them.
    context = multiprocessing.get_context("fork")
    start = context.Barrier(connections + 1)
    writers = [
        context.Process(target=_write, args=(batches[place::connections], start)) for place in range(connections)
    ]
    for writer in writers:
        writer.start()
    start.wait()
    started_s = time.perf_counter()
    for writer in writers:
        writer.join()
    elapsed_s = time.perf_counter() - started_s
    if any(writer.exitcode for writer in writers):
        msg = "a writer of the ceiling failed"
        raise RuntimeError(msg)
    return ticks / elapsed_s


def _write(batches: list[bytes], start: Barrier) -> None:
    with scratch.connect(DATABASE) as writer:
        start.wait()
        for batch in batches:
            with writer.cursor() as cursor, cursor.copy(_COPY) as copy:
                copy.write(batch)
            writer.commit()


def median_size() -> int:
    """Return the median number of ticks in the pipeline's batches."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tick_count FROM ingest_batch WHERE tick_count > 0")
        return int(np.median([row[0] for row in cursor.fetchall()]))
