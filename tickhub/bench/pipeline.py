"""bench pipeline: a backlog of at least 5 M ticks through the real processes, beside the ceiling of the same run."""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from django.db import connection

from ingest import queries
from tickhub import reconcile
from tickhub.bench import backlog, ceiling, scratch, system
from tickhub.reconcile import Scope

_ROUNDS = 3
_ROUND_S = 900.0
# The ceiling's rows: enough that its rate is steady.
_CEILING_TICKS = 3_000_000

_TIMES = """
SELECT sum(tick_count), count(*), extract(epoch FROM max(pg_xact_commit_timestamp(xmin)) - min(captured_at)),
       count(*) FILTER (WHERE status = 'FAILED')
FROM ingest_batch WHERE tick_count > 0
"""


def run(*, rounds: int = _ROUNDS, tell: Callable[[str], None]) -> dict[str, Any]:  # Any: JSON
    """Measure the pipeline and its ceiling in interleaved rounds; return the report.

    :raises tickhub.bench.system.BenchFailed: if a process dies or a round does not end
    """
    pipeline: list[dict[str, Any]] = []  # Any: JSON
    ceilings: dict[int, list[float]] = {1: [], 2: []}
    packed: list[bytes] = []
    packed_ticks = 0
    with backlog.folder() as (folder, kind), scratch.databases():
        facts = system.facts()
        for number in range(1, rounds + 1):
            pipeline.append(_round(f"replay:{folder}?speed=max"))
            tell(f"round {number}: pipeline {pipeline[-1]['ticks_per_s']:,} ticks/s")
            if not packed:
                size = ceiling.median_size()
                packed, packed_ticks = ceiling.pack_stored(batch_ticks=size, limit=_CEILING_TICKS)
                ceiling.make_template()
            for connections, rates in ceilings.items():
                rates.append(ceiling.run(packed, packed_ticks, connections=connections))
                tell(f"round {number}: ceiling on {connections} connections {rates[-1]:,.0f} ticks/s")
    return _report(pipeline, ceilings, kind, facts)


def _round(spec: str) -> dict[str, Any]:  # Any: JSON
    scratch.renew()
    with system.system(spec, until_drained=True) as running:
        running.start_services("worker", "beat")
        running.start_poller()
        running.wait(lambda: running.poller.is_finished and queries.waiting_count() == 0, _ROUND_S)
        resources, stages = running.resources(), running.stages()
    with connection.cursor() as cursor:
        cursor.execute(_TIMES)
        ticks, batches, elapsed_s, failed = cursor.fetchone()
    report = reconcile.reconcile(Scope())
    return {
        "ticks": int(ticks),
        "batches": int(batches),
        "batch_ticks_median": ceiling.median_size(),
        "elapsed_s": round(float(elapsed_s), 3),
        "ticks_per_s": round(int(ticks) / float(elapsed_s)),
        "lost": report.lost,
        "stored_twice": report.stored_twice,
        "failed_batches": failed,
        "processes": resources,
        "stages_s": stages,
    }


def _report(
    pipeline: list[dict[str, Any]], ceilings: dict[int, list[float]], kind: str, facts: dict[str, object]
) -> dict[str, Any]:  # Any: JSON
    ours = statistics.median(round_["ticks_per_s"] for round_ in pipeline)
    best = max(statistics.median(rates) for rates in ceilings.values())
    middle = pipeline[int(np.argsort([round_["ticks_per_s"] for round_ in pipeline])[len(pipeline) // 2])]
    # Waiting in the inbox is no work.
    work = {name: seconds for name, seconds in middle["stages_s"].items() if name != "wait"}
    total_s = sum(work.values()) or 1.0
    return {
        "bench": "pipeline",
        "input": kind,
        "ticks": middle["ticks"],
        "ticks_per_s": ours,
        "ceiling_ticks_per_s": round(best),
        "ratio": round(ours / best, 3),
        "rounds": [round_["ticks_per_s"] for round_ in pipeline],
        "ceiling_rounds": {str(n): [round(rate) for rate in rates] for n, rates in ceilings.items()},
        "batch_ticks_median": middle["batch_ticks_median"],
        "lost": sum(round_["lost"] or 0 for round_ in pipeline),
        "stored_twice": sum(round_["stored_twice"] or 0 for round_ in pipeline),
        "failed_batches": sum(round_["failed_batches"] for round_ in pipeline),
        "stage_share": {name: round(seconds / total_s, 3) for name, seconds in work.items()},
        "stages_s": middle["stages_s"],
        "processes": middle["processes"],
        "settings": facts,
    }
