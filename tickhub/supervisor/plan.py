"""Which processes make up the system, and their command lines."""

import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from ingest import heartbeat
from ingest.sources import spec as specs
from tickhub.supervisor.children import Child
from tickhub.supervisor.pulse import Pulse

# The child that speaks with agents.
BRIDGE = "bridge"
MANAGE = str(Path(__file__).resolve().parents[2] / "manage.py")

# glibc gives arrays of a batch's size back to the kernel at once and faults every page in again; kept, the workers
# spend a quarter less time on a batch. Other C libraries ignore these.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "134217728", "MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_TOP_PAD_": "16777216"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What `up` was asked for."""

    sources: tuple[str, ...]
    http: tuple[str, int]
    # None where no agent is to connect.
    bridge: tuple[str, int] | None
    workers: int
    logs: Path
    environment: dict[str, str]
    for_s: float | None
    until_drained: bool
    origin_msc: int
    # Where the pollers write their heartbeats; None where nobody watches them.
    heartbeats: Path | None = None


def children(plan: Plan) -> tuple[list[Child], list[Child]]:
    """Return the services in their order of start, and the pollers."""
    services = [_worker(plan), _beat(plan), _web(plan), _notifier(plan)]
    if plan.bridge is not None:
        services.append(_bridge(plan, *plan.bridge))
    return services, [poller(plan, index) for index in range(len(plan.sources))]


def _child(plan: Plan, name: str, argv: list[str]) -> Child:
    environment = _MALLOC | dict(os.environ) | plan.environment | {"DJANGO_SETTINGS_MODULE": "tickhub.settings"}
    return Child(name=name, argv=argv, environment=environment, log=plan.logs / f"{name}.log")


def _celery(plan: Plan, name: str, *arguments: str) -> Child:
    return _child(plan, name, [sys.executable, "-m", "celery", "-A", "tickhub", *arguments])


# These talk to other workers; nothing here listens.
_ALONE = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING")


def _worker(plan: Plan) -> Child:
    queues, processes = "--queues=batches,keeping", f"--concurrency={plan.workers}"
    return _celery(plan, "worker", "worker", queues, processes, "--hostname=worker@%h", *_ALONE)


def _notifier(plan: Plan) -> Child:
    # One process, not one that runs another: it waits for others' servers, and does little else.
    return _celery(plan, "notifier", "worker", "--queues=notices", "--pool=solo", "--hostname=notifier@%h", *_ALONE)


def _beat(plan: Plan) -> Child:
    return _celery(plan, "beat", "beat", "--pidfile=", "--max-interval=1", "--loglevel=WARNING")


def _web(plan: Plan) -> Child:
    host, port = plan.http
    argv = [sys.executable, "-m", "uvicorn", "tickhub.asgi:application", "--host", host, "--port", str(port)]
    return _child(plan, "web", [*argv, "--no-access-log", "--log-level", "warning", "--lifespan", "off"])


def _bridge(plan: Plan, host: str, port: int) -> Child:
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return _child(plan, BRIDGE, [sys.executable, MANAGE, "bridge", "--listen", at])


def poller(plan: Plan, index: int) -> Child:
    """Return the poller of one source."""
    argv = [sys.executable, MANAGE, "poll", "--source", plan.sources[index], "--origin", str(plan.origin_msc)]
    if plan.for_s is not None:
        argv += ["--for", str(plan.for_s)]
    if plan.until_drained:
        argv.append("--until-drained")
    child = _child(plan, f"poller-{index + 1}", argv)
    child.source = specs.parse(plan.sources[index]).identity
    if plan.heartbeats is not None:
        # A file of its own: the poller that this one replaces may wake up and beat.
        child.pulse = Pulse(plan.heartbeats / f"{child.name}-{secrets.token_hex(4)}")
        child.environment[heartbeat.VARIABLE] = str(child.pulse.path)
    return child
