"""bench latency: how long a tick takes from the poll, and from being visible in the terminal, to its commit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection

from ingest import queries
from tickhub import reconcile
from tickhub.bench import floor, scratch, system
from tickhub.core import clock
from tickhub.reconcile import Scope

RATES = (50, 1_000, 10_000)
SYMBOLS = "EURUSD,GBPUSD,USDJPY,USDCHF,AUDUSD,USDCAD,NZDUSD,EURGBP,EURJPY,GBPJPY,XAUUSD,XAGUSD"
_WARM_UP_S, _MEASURED_S = 10.0, 60.0
_FLOOR_BATCHES = 200

# One row for each tick: its own time, its poll's return and the commit of its batch's stored mark, in ms since 1970.
_TICKS = """
SELECT t.time_msc, extract(epoch FROM b.captured_at) * 1000, extract(epoch FROM pg_xact_commit_timestamp(b.xmin)) * 1000
FROM tick t JOIN ingest_batch b ON b.id = t.batch_id
WHERE b.captured_at >= to_timestamp(%(from_s)s) AND b.captured_at < to_timestamp(%(to_s)s)
"""


def run(
    *, rates: tuple[int, ...] = RATES, measured_s: float = _MEASURED_S, tell: Callable[[str], None]
) -> dict[str, Any]:  # Any: JSON
    """Measure each rate over 12 symbols after a warm-up, with a checkpoint in the middle; return the report.

    :raises tickhub.bench.system.BenchFailed: if a process dies or does not keep up
    """
    found: dict[str, Any] = {}  # Any: JSON
    with scratch.databases():
        facts = system.facts()
        for rate in rates:
            found[str(rate)] = _rate(rate, measured_s)
            tell(f"{rate} ticks/s: {found[str(rate)]}")
    return {"bench": "latency", "symbols": 12, "measured_s": measured_s, "rates": found, "settings": facts}


def _rate(rate: int, measured_s: float) -> dict[str, Any]:  # Any: JSON
    scratch.renew()
    spec = f"sim:?symbols={SYMBOLS}&rate={rate}&seed=1"
    with system.system(spec, for_s=_WARM_UP_S + measured_s + 5) as running:
        running.start_services("worker", "beat")
        running.start_poller()
        running.wait(lambda: queries.newest_batch() > 0, 60.0)
        begun_msc = clock.now_msc() + int(_WARM_UP_S * 1000)
        running.wait(lambda: clock.now_msc() >= begun_msc + int(measured_s * 500), measured_s + 60)
        with connection.cursor() as cursor:
            cursor.execute("CHECKPOINT")
        running.wait(lambda: running.poller.is_finished and queries.waiting_count() == 0, measured_s + 120)
        resources, stages = running.resources(), running.stage_means_ms()
    visible, polled, committed = _times(begun_msc, begun_msc + int(measured_s * 1000))
    report = reconcile.reconcile(Scope())
    poll_to_commit = _summary(committed - polled)
    floor_ms = _summary(floor.measure(rate=rate, batches=_FLOOR_BATCHES))
    return {
        "samples": len(committed),
        "poll_to_commit_ms": poll_to_commit,
        "floor_ms": floor_ms,
        "ratio_p50": round(poll_to_commit["p50"] / floor_ms["p50"], 2),
        "visible_to_commit_ms": _summary(committed - visible),
        "lost": report.lost,
        "stored_twice": report.stored_twice,
        "stages_ms": stages,
        "processes": resources,
    }


Times = npt.NDArray[np.float64]


def _times(from_msc: int, to_msc: int) -> tuple[Times, Times, Times]:
    """Return when each tick became visible, was polled and committed, in ms since 1970."""
    with connection.cursor() as cursor:
        cursor.execute(_TICKS, {"from_s": from_msc / 1000, "to_s": to_msc / 1000})
        rows = np.array(cursor.fetchall(), dtype=np.float64).reshape(-1, 3)
    return rows[:, 0], rows[:, 1], rows[:, 2]


def _summary(values_ms: Times) -> dict[str, float]:
    p50, p99 = np.percentile(values_ms, [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(float(values_ms.max()), 2)}
