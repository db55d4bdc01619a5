"""Runs the real processes of tickhub against the throw-away database, and watches what they use."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
from django.conf import settings
from django.db import connection
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from tickhub.bench import processes, scratch
from tickhub.bench.processes import Usage
from tickhub.core import clock
from tickhub.core.errors import TickhubError
from tickhub.supervisor import plan as plans
from tickhub.supervisor.children import Child
from tickhub.supervisor.plan import Plan

_READY_S = 60.0
# The bench runs on the cores that it measures: looking ten times a second took a fifth of two of them.
_SAMPLE_EVERY_S = 2.0


class BenchFailed(TickhubError):
    """A process of the bench ended or did not get ready."""


@dataclass(slots=True)
class System:
    """Worker, beat and poller under watch; ``folder`` holds logs and metrics."""

    folder: Path
    services: list[Child]
    poller: Child
    usage: dict[str, Usage] = field(default_factory=dict)

    def start_services(self, *names: str) -> None:
        """Start some of the services and wait until the workers listen."""
        for child in self.services:
            if child.name in names:
                child.start()
        client = redis.Redis.from_url(scratch.environment()["REDIS_URL"])
        self.wait(lambda: sum(c["cmd"] == "brpop" for c in client.client_list()) >= 1, _READY_S)

    def start_poller(self) -> None:
        """Start the poller and count CPU from now on."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            postmaster = processes.parent_of(cursor.fetchone()[0])
        valkey = int(redis.Redis.from_url(scratch.environment()["REDIS_URL"]).info("server")["process_id"])
        self.poller.start()
        roots = {"postgresql": postmaster, "valkey": valkey, "poller": self.poller.pid or 0}
        roots |= {child.name: child.pid for child in self.services if child.pid}
        self.usage = {name: Usage(root=pid) for name, pid in roots.items() if pid}
        for usage in self.usage.values():
            usage.start()

    def wait(self, is_done: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition while sampling what the processes use.

        :raises BenchFailed: if it does not come true in time, or a process dies
        """
        deadline_s = clock.monotonic_s() + seconds
        sample_at_s = 0.0
        while not is_done():
            if clock.monotonic_s() > deadline_s:
                msg = f"not done within {seconds:.0f} s; logs in {self.folder}"
                raise BenchFailed(msg)
            for child in [*self.services, self.poller]:
                code = child.reap()
                child.is_finished = child.is_finished or code == 0
                if code:
                    msg = f"{child.name} ended with {code}: {child.last_words()}"
                    raise BenchFailed(msg)
            if clock.monotonic_s() >= sample_at_s:
                self._sample()
                sample_at_s = clock.monotonic_s() + _SAMPLE_EVERY_S
            clock.sleep(0.1)
        self._sample()

    def _sample(self) -> None:
        children = processes.children_of_all() if self.usage else {}
        for usage in self.usage.values():
            usage.sample(children)

    def stages(self) -> dict[str, float]:
        """Return the seconds that each stage took, over all processes."""
        return {name: round(seconds, 3) for name, (seconds, _) in self._stages().items()}

    def stage_means_ms(self) -> dict[str, float]:
        """Return the mean time of each stage in ms."""
        return {name: round(seconds / max(count, 1) * 1000, 2) for name, (seconds, count) in self._stages().items()}

    def _stages(self) -> dict[str, tuple[float, float]]:
        """Return seconds and count of each stage."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self.folder / "metrics"))  # type: ignore[no-untyped-call]  # untyped
        found: dict[str, tuple[float, float]] = {}
        values = {(s.name, s.labels.get("stage", "poll")): s.value for m in registry.collect() for s in m.samples}
        for (name, stage), value in values.items():
            if name in {"tickhub_batch_seconds_sum", "tickhub_poll_seconds_sum"}:
                found[stage] = (value, values[name.removesuffix("sum") + "count", stage])
        return found

    def resources(self) -> dict[str, dict[str, float]]:
        """Return CPU seconds and the peak memory of the largest process, by name."""
        return {
            name: {"cpu_s": round(usage.cpu_s, 2), "peak_mb": round(max(usage.peak_mb.values(), default=0.0), 1)}
            for name, usage in self.usage.items()
        }


@contextmanager
def system(spec: str, *, for_s: float | None = None, until_drained: bool = False) -> Iterator[System]:
    """Give a system whose processes are not started yet; they are ended at the end."""
    folder = Path(tempfile.mkdtemp(prefix="tickhub-bench-"))
    (folder / "metrics").mkdir()
    plan = Plan(
        sources=(spec,),
        http=("127.0.0.1", 0),
        bridge=None,
        workers=settings.WORKERS,
        logs=folder / "logs",
        environment=scratch.environment() | {"PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics")},
        for_s=for_s,
        until_drained=until_drained,
        origin_msc=clock.now_msc(),
    )
    services, pollers = plans.children(plan)
    running = System(folder=folder, services=services, poller=pollers[0])
    try:
        yield running
    finally:
        for child in [running.poller, *running.services]:
            child.kill()
    shutil.rmtree(folder)


def facts() -> dict[str, object]:
    """Return what a figure must be read with: settings of the running server, cores, poll interval."""
    found: dict[str, object] = {"cores": os.cpu_count(), "poll_interval_ms": settings.POLL_INTERVAL_MS}
    with connection.cursor() as cursor:
        for name in ("server_version", "fsync", "full_page_writes", "synchronous_commit", "shared_buffers"):
            cursor.execute("SELECT current_setting(%s)", [name])
            found[name] = cursor.fetchone()[0]
    return found
