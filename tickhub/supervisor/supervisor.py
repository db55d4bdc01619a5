"""The loop that keeps the system running, and the order in which it ends."""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import DatabaseError, connection

from ingest import queries
from tickhub import agents
from tickhub.core import clock
from tickhub.embedded.servers import Servers
from tickhub.supervisor import plan as plans
from tickhub.supervisor.children import Child
from tickhub.supervisor.plan import Plan
from tickhub.supervisor.watchdog import Watchdog

# Exit codes of a poller which say that starting it again would not help: a bad source, a permanent error.
_FINAL_CODES = (2, 4)
# A poller that was replaced may wake up and end by itself for so long.
_RETIRED_S = 60.0
# Ctrl-C and SIGTERM end everything within 10 s; these are the shares of settling, draining and the last children.
_SETTLE_S, _DRAIN_S, _STOP_S = 4.0, 2.0, 2.0
# How long the agents may take to compare the past where nobody is in a hurry.
_AGENTS_S = 60.0


@dataclass(slots=True)
class Supervisor:
    """Starts the children of a plan and keeps them running until told to end."""

    plan: Plan
    servers: Servers | None
    tell: Callable[[str], None]
    services: list[Child] = field(default_factory=list)
    pollers: list[Child] = field(default_factory=list)
    retired: list[Child] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    is_hurried: bool = False
    watchdog: Watchdog = field(default_factory=Watchdog)

    def start(self) -> None:
        """Start every child."""
        self.services, self.pollers = plans.children(self.plan)
        for child in [*self.services, *self.pollers]:
            child.start()

    def watch(self) -> bool:
        """Restart what died; return whether every poller has ended by itself."""
        if self.servers is not None:
            for line in self.servers.ensure_alive():
                self.tell(line)
        for child in self.services:
            self._revive(child)
        for child in list(self.pollers):
            self._watch_poller(child)
        for child in self.retired:
            # It holds a connection, and a real terminal's pipe; nothing it could commit counts any more.
            if child.is_running() and clock.monotonic_s() - child.retired_s > _RETIRED_S:
                child.kill()
        self.retired = [child for child in self.retired if child.is_running()]
        for child, why in self.watchdog.hung(self.pollers):
            self._replace(child, why)
        return bool(self.pollers) and all(child.is_finished for child in self.pollers)

    def _watch_poller(self, child: Child) -> None:
        code = child.reap()
        if code == 0:
            child.is_finished = True
        elif code in _FINAL_CODES:
            child.is_finished = True
            line = f"{child.name}: {child.last_words(1).removeprefix('error: ')}"
            self.refused.append(line)
            self.tell(f"{line}; this source is not captured any more")
        elif code is not None:
            self._tell_death(child, code)
        elif child.is_due():
            child.start()

    def _revive(self, child: Child) -> None:
        code = child.reap()
        if code is not None:
            self._tell_death(child, code)
        elif child.is_due():
            child.start()

    def _tell_death(self, child: Child, code: int) -> None:
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        wait_s = max(child.restart_at_s - clock.monotonic_s(), 0)
        words = "" if code < 0 else f": {child.last_words(1)}"
        self.tell(f"{child.name} ended ({how}){words}; restarting in {wait_s:.1f} s")

    def _replace(self, child: Child, why: str) -> None:
        """Start a poller beside one that hangs: the lease's fence shuts the old one out, whenever it wakes."""
        self.tell(f"{child.name} (pid {child.pid}) {why}; starting another poller")
        child.retired_s = clock.monotonic_s()
        self.retired.append(child)
        place = self.pollers.index(child)
        self.pollers[place] = plans.poller(self.plan, place)
        self.pollers[place].start()

    def end(self, *, drain: bool) -> None:
        """Stop polling, let the pollers settle, and let the workers drain; without ``drain`` within a few seconds."""
        for child in self.pollers:
            child.signal(signal.SIGTERM)
        for child in self._named(plans.BRIDGE):
            # Takes no more frames and settles; agents hold what comes.
            child.signal(signal.SIGUSR1)
        self._wait(lambda: not any(child.is_running() for child in self.pollers), None if drain else _SETTLE_S)
        agents.settle_connected(patience_s=_AGENTS_S if drain else _SETTLE_S / 2, gives_up=lambda: self.is_hurried)
        self._wait(lambda: _waiting() == 0, None if drain else _DRAIN_S)

    def _wait(self, is_done: Callable[[], bool], seconds: float | None) -> None:
        deadline_s = None if seconds is None else clock.monotonic_s() + seconds
        while not is_done() and not self.is_hurried:
            if deadline_s is not None and clock.monotonic_s() > deadline_s:
                return
            if self.servers is not None:
                for line in self.servers.ensure_alive():
                    self.tell(line)
            for child in self.services:
                self._revive(child)
            clock.sleep(0.05)

    def stop(self, *, besides: str = "") -> None:
        """End the children: pollers, beat and web, workers, bridge; what does not end in time is killed."""
        groups = (
            self.pollers + self.retired,
            self._named("beat", "web"),
            self._named("worker", "notifier"),
            self._named(plans.BRIDGE),
        )
        for group in groups:
            ending = [child for child in group if child.name != besides]
            for child in ending:
                child.signal(signal.SIGTERM)
                child.signal(signal.SIGCONT)
            deadline_s = clock.monotonic_s() + _STOP_S
            for child in ending:
                if not child.wait(deadline_s - clock.monotonic_s()):
                    child.kill()

    def _named(self, *names: str) -> list[Child]:
        return [child for child in self.services if child.name in names]


def _waiting() -> int | None:
    """Return how many batches wait, None while the database does not answer."""
    try:
        return queries.waiting_count()
    except DatabaseError:
        connection.close()
        return None
