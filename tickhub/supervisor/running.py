"""One run of the whole system, from migrations to the reconciliation."""

import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection

from ingest.sources import opening
from ingest.sources import spec as specs
from ingest.sources.spec import AgentSpec, PlayedSpec
from quality import incidents
from tickhub import addresses, checks, overflow, reconcile, stops
from tickhub.core import clock
from tickhub.core.errors import UsageError
from tickhub.embedded.servers import Servers
from tickhub.reconcile import Report, Scope
from tickhub.reference.models import Source
from tickhub.supervisor import access, figures
from tickhub.supervisor.console import Progress
from tickhub.supervisor.plan import BRIDGE, Plan
from tickhub.supervisor.supervisor import Supervisor

# After Ctrl-C: how long sources are read again before the rest is reported as not compared.
_RECONCILE_S = 2.0
_WATCH_EVERY_S = 5.0
DEFAULT_SOURCE = "sim:?symbols=EURUSD,GBPUSD,USDJPY,XAUUSD&rate=50&seed=1"


@dataclass(frozen=True, slots=True)
class Request:
    """What `up` was asked for."""

    sources: tuple[str, ...]
    http: str
    bridge: str
    for_s: float | None
    until_drained: bool


def run(
    request: Request, *, servers: Servers | None, logs: Path, progress: Progress
) -> tuple[Report, dict[str, Any]]:  # Any: JSON
    """Run the system until it ends; return the reconciliation and the figures of the run.

    :raises UsageError: if a source, an address or the database cannot be used
    """
    names = _check_sources(request, progress)
    http, bridge = addresses.read("--http", request.http), addresses.read("--bridge", request.bridge)
    # The servers make the data folder, but those of the environment do not.
    logs.mkdir(parents=True, exist_ok=True)
    _prepare_database(logs.parent)
    _check_agents(request)
    after_batch = figures.newest_batch()
    supervisor = Supervisor(
        plan=Plan(
            sources=tuple(text for text in request.sources if not isinstance(specs.parse(text), AgentSpec)),
            http=http,
            bridge=bridge,
            workers=settings.WORKERS,
            logs=logs,
            environment=access.environment(logs.parent)
            | {"PROMETHEUS_MULTIPROC_DIR": str(_renewed(logs.parent / "metrics"))},
            for_s=request.for_s,
            until_drained=request.until_drained,
            origin_msc=clock.now_msc(),
            heartbeats=_renewed(logs.parent / "heartbeats"),
        ),
        servers=servers,
        tell=progress.tell,
    )
    stop = _catch_signals(supervisor)
    supervisor.start()
    progress.tell(f"admin http://{http[0]}:{http[1]}/admin/   {access.hint(logs.parent)}")
    progress.tell(f"logs {logs}")
    try:
        live = figures.Live(names=names, after_batch=after_batch, window_s=5.0)
        is_asked = _watch(supervisor, progress, live, stop)
        if len(supervisor.refused) == len(request.sources):
            raise UsageError("; ".join(supervisor.refused))
        supervisor.end(drain=not is_asked)
        # Nothing moves any more while it is reconciled; the bridge only asks its agents what they show.
        supervisor.stop(besides=BRIDGE)
        while incidents.keep():
            pass
        deadline_s = clock.monotonic_s() + _RECONCILE_S if is_asked else None
        report = reconcile.reconcile(Scope(deadline_s=deadline_s))
        report.differences += supervisor.refused
        return report, figures.of_run(after_batch=after_batch)
    finally:
        supervisor.stop()
        connection.close()


def _check_sources(request: Request, progress: Progress) -> list[str]:
    """Open every source once, so that a bad one is refused before anything runs; tell what was left out of it."""
    names = []
    for text in request.sources:
        spec = specs.parse(text)
        names.append(spec.identity)
        if not isinstance(spec, PlayedSpec):
            # Only a recording can be looked at from outside its poller.
            continue
        for note in opening.open_for_rereading(spec).notes:
            progress.tell(note)
    if len(set(names)) < len(names):
        msg = f"--source: the same source is given twice: {', '.join(names)}"
        raise UsageError(msg)
    return names


def _check_agents(request: Request) -> None:
    """Refuse an agent's source that has no token yet, and waiting for the end of what has none."""
    agents = [spec for text in request.sources if isinstance(spec := specs.parse(text), AgentSpec)]
    for spec in agents:
        if not Source.objects.filter(name=spec.identity, scheme=spec.scheme).exists():
            msg = f"source {spec.text}: is not known; make it and its token: agent_token --source NAME --clock CLOCK"
            raise UsageError(msg)
    if request.until_drained and len(agents) == len(request.sources):
        raise UsageError("--until-drained: what agents send has no end")


def _renewed(path: Path) -> Path:
    """Make an empty folder that the children of this run share: their metrics start at 0, no heartbeat is old."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    return path


def _prepare_database(folder: Path) -> None:
    call_command("migrate", verbosity=0, interactive=False)
    faults = checks.durability_faults()
    if faults:
        raise UsageError("PostgreSQL would lose ticks: " + "; ".join(faults))
    access.ensure_admin(folder)


def _catch_signals(supervisor: Supervisor) -> list[int]:
    """Note the first Ctrl-C or SIGTERM; the second one stops the waiting too."""
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        supervisor.is_hurried = bool(received)
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return received


def _watch(supervisor: Supervisor, progress: Progress, live: figures.Live, stop: list[int]) -> bool:
    """Watch until the sources end or a signal comes; return whether it was a signal."""
    shown_s = watched_s = 0.0
    begun_s = clock.monotonic_s()
    while not stop:
        if supervisor.watch():
            return False
        for_s = supervisor.plan.for_s
        if not supervisor.pollers and for_s is not None and clock.monotonic_s() - begun_s >= for_s:
            return False
        if clock.monotonic_s() - shown_s >= 1.0:
            shown_s = clock.monotonic_s()
            progress.banner(_state(live))
            _show(progress, live)
        if clock.monotonic_s() - watched_s >= _WATCH_EVERY_S:
            watched_s = clock.monotonic_s()
            _watch_overflow()
        clock.sleep(0.1)
    return True


def _watch_overflow() -> None:
    """Watch from here too: where no worker runs, none would tell that the inbox fills."""
    try:
        overflow.watch()
    except DatabaseError:
        # Told by the figures already.
        connection.close()


def _state(live: figures.Live) -> str | None:
    try:
        return stops.state(live.names)
    except DatabaseError:
        connection.close()
        return None


def _show(progress: Progress, live: figures.Live) -> None:
    try:
        progress.show(live.look())
    except DatabaseError as error:
        connection.close()
        progress.tell(f"database: {str(error).splitlines()[0]}")
