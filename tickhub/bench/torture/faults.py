"""The kinds of faults: what each does to the running system, and what is drawn for it.

A fault acts in steps: a generator that yields the seconds until its next one. Between two steps the system is kept
alive as `up` does. A fault whose victim is not there raises :class:`Missed`.
"""

import json
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psycopg
import redis

from tickhub.bench.torture import disk
from tickhub.bench.torture.proxy import CommitCut
from tickhub.bench.torture.schedule import Settings
from tickhub.bench.torture.stage import RESERVE_MB, Capture, Stage
from tickhub.bench.torture.ways import AGENT, POLLER
from tickhub.core import clock
from tickhub.core.errors import TickhubError

_T = TypeVar("_T")
Steps = Iterator[float]
_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tickhub' ORDER BY pid"
_FETCH_MS = 400
_COMMIT_WITHIN_S, _COMMIT_STEP_S = 2.0, 0.05


class Missed(TickhubError):
    """What the fault is for was not there."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind; ``ways`` are the ways of ticks in which it has a victim, none where it has one in each."""

    name: str
    act: Callable[[Stage, Settings], Steps]
    drawn: Callable[[random.Random], Settings]
    ways: tuple[str, ...] = ()
    # It needs a disk that can be filled.
    fills_disk: bool = False

    def draw(self, rng: random.Random) -> Settings:
        """Return the settings of one fault."""
        return self.drawn(rng)


def _nothing(_rng: random.Random) -> Settings:
    return {}


def _for(least_s: float, most_s: float) -> Callable[[random.Random], Settings]:
    """Draw how long."""
    return lambda rng: {"for_s": round(rng.uniform(least_s, most_s), 3)}


def _seconds(settings: Settings) -> float:
    return float(settings["for_s"])


def _capture(stage: Stage) -> Capture:
    if stage.capture is None or stage.capture.current.pid is None:
        raise Missed("nothing captures")
    return stage.capture


def _kill_capture(stage: Stage, _: Settings) -> Steps:
    _capture(stage).current.signal(signal.SIGKILL)
    yield 0


def _stop_capture(stage: Stage, settings: Settings) -> Steps:
    process = _capture(stage).current
    process.signal(signal.SIGSTOP)
    yield _seconds(settings)
    process.signal(signal.SIGCONT)


def _kill_service(name: str) -> Callable[[Stage, Settings], Steps]:
    def act(stage: Stage, _: Settings) -> Steps:
        if not stage.services[name].signal(signal.SIGKILL):
            raise Missed(f"{name} does not run")
        yield 0

    return act


def _stop_service(name: str) -> Callable[[Stage, Settings], Steps]:
    def act(stage: Stage, settings: Settings) -> Steps:
        process = stage.services[name]
        if not process.signal(signal.SIGSTOP, group=True):
            raise Missed(f"{name} does not run")
        yield _seconds(settings)
        process.signal(signal.SIGCONT, group=True)

    return act


def _kill_worker_child(stage: Stage, settings: Settings) -> Steps:
    children = stage.services["worker"].children()
    if not children:
        raise Missed("worker has no child")
    _kill(_chosen(children, settings))
    yield 0


def _chosen(victims: Sequence[_T], settings: Settings) -> _T:
    return victims[min(int(float(settings["which"]) * len(victims)), len(victims) - 1)]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        raise Missed(f"process {pid} has ended meanwhile") from None


def _kill_server(name: str) -> Callable[[Stage, Settings], Steps]:
    def act(stage: Stage, _: Settings) -> Steps:
        server = stage.servers[name]
        if server.pid is None or server.poll() is not None:
            raise Missed(f"{name} does not run")
        _kill(server.pid)
        yield 0

    return act


def _kill_backend(stage: Stage, settings: Settings) -> Steps:
    try:
        with stage.ask() as asking:
            rows = asking.execute(_BACKENDS).fetchall()
    except psycopg.Error as error:
        raise Missed(f"postgres does not answer: {error}") from error
    if not rows:
        raise Missed("no backend serves the system")
    _kill(int(str(_chosen(rows, settings)[0])))
    yield 0


def _which(rng: random.Random) -> Settings:
    return {"which": round(rng.random(), 3)}


def _flush(stage: Stage, settings: Settings) -> Steps:
    for _ in range(int(settings["times"])):
        try:
            stage.flush()
        except redis.RedisError as error:
            raise Missed(f"valkey does not answer: {error}") from error
        yield 0.3


def _cut(stage: Stage, settings: Settings) -> Steps:
    proxy = stage.proxies[str(settings["of"])]
    if not proxy.has_connections:
        raise Missed("nobody is connected")
    for _ in range(int(settings["times"])):
        proxy.cut()
        yield 0.1


def _deafen(stage: Stage, settings: Settings) -> Steps:
    proxy = stage.proxies[str(settings["of"])]
    proxy.deafen()
    yield _seconds(settings)
    proxy.hear()
    if settings["then"] == "cut":
        proxy.cut()


def _cut_commit(where: CommitCut) -> Callable[[Stage, Settings], Steps]:
    def act(stage: Stage, settings: Settings) -> Steps:
        proxy = stage.proxies[str(settings["of"])]
        proxy.cut_commit(where)
        for _ in range(int(_COMMIT_WITHIN_S / _COMMIT_STEP_S)):
            yield _COMMIT_STEP_S
            if not proxy.is_armed:
                return
        proxy.cut_commit(None)
        raise Missed("no commit passed")

    return act


def _drawn_of(*sides: str, **more: Callable[[random.Random], float | str]) -> Callable[[random.Random], Settings]:
    """Draw whose connections, and what else is asked for."""
    return lambda rng: {"of": rng.choice(sides)} | {name: draw(rng) for name, draw in more.items()}


def _times(rng: random.Random) -> int:
    return rng.randint(1, 4)


def _deaf_s(rng: random.Random) -> float:
    return round(rng.uniform(0.3, 4.0), 3)


def _then(rng: random.Random) -> str:
    return rng.choice(("cut", "hear"))


def _terminal(kind: str, *, refuses: bool = False) -> Callable[[Stage, Settings], Steps]:
    """Plan a fault of the simulated terminal, which holds for every process that meets it meanwhile."""

    def act(stage: Stage, settings: Settings) -> Steps:
        capture = _capture(stage)
        seconds = _seconds(settings)
        fault = {"kind": kind, "for_ms": int(seconds * 1000)}
        if kind != "hang":
            fault["at_msc"] = clock.now_msc()
        if kind == "link_lost":
            # Shorter than a poller waits for two reads to agree: a recording may end while it is being fetched.
            fault["fetch_ms"] = min(int(seconds * 1000), _FETCH_MS)
        if "by_s" in settings:
            fault["by_ms"] = int(float(settings["by_s"]) * 1000)
        if refuses:
            # A person mends the terminal and starts the poller again.
            capture.refused_until_s = clock.monotonic_s() + seconds
        with capture.play.fault_file.open("a") as lines:
            lines.write(json.dumps(fault) + "\n")
        yield seconds

    return act


def _step(rng: random.Random) -> Settings:
    """Draw how far a clock steps: half a second to two hours, forward or back."""
    by_s = rng.choice((-1, 1)) * 0.5 * 14_400 ** rng.random()
    return {"for_s": round(rng.uniform(0.3, 4.0), 3), "by_s": round(by_s, 3)}


def _fill(stage: Stage, settings: Settings) -> Steps:
    disk.fill(stage.ballast, leave_mb=int(settings["leave_mb"]))
    yield _seconds(settings)
    stage.ballast.unlink(missing_ok=True)


def _filled(rng: random.Random) -> Settings:
    """Draw how full: below the reserve, so that capture stops, or to the last byte, so that PostgreSQL goes down."""
    return {"leave_mb": rng.choice((0, RESERVE_MB - 20)), "for_s": round(rng.uniform(1.0, 3.0), 3)}


_SIDES = ("poller", "worker")
KINDS = (
    Kind("kill_poller", _kill_capture, _nothing, (POLLER.name,)),
    Kind("stop_poller", _stop_capture, _for(0.2, 6.0), (POLLER.name,)),
    Kind("kill_agent", _kill_capture, _nothing, (AGENT.name,)),
    Kind("stop_agent", _stop_capture, _for(0.2, 6.0), (AGENT.name,)),
    Kind("kill_bridge", _kill_service("bridge"), _nothing, (AGENT.name,)),
    Kind("stop_bridge", _stop_service("bridge"), _for(0.2, 6.0), (AGENT.name,)),
    Kind("cut_bridge", _cut, _drawn_of("bridge", times=_times), (AGENT.name,)),
    Kind("deafen_bridge", _deafen, _drawn_of("bridge", for_s=_deaf_s, then=_then), (AGENT.name,)),
    Kind("kill_worker", _kill_service("worker"), _nothing),
    Kind("kill_worker_child", _kill_worker_child, _which),
    Kind("stop_worker", _stop_service("worker"), _for(0.2, 5.0)),
    Kind("kill_beat", _kill_service("beat"), _nothing),
    Kind("stop_beat", _stop_service("beat"), _for(0.5, 4.0)),
    Kind("kill_postgres", _kill_server("postgres"), _nothing),
    Kind("kill_backend", _kill_backend, _which),
    Kind("kill_valkey", _kill_server("valkey"), _nothing),
    Kind("flush_valkey", _flush, lambda rng: {"times": _times(rng)}),
    Kind("cut_database", _cut, _drawn_of(*_SIDES, times=_times)),
    Kind("deafen_database", _deafen, _drawn_of(*_SIDES, for_s=_deaf_s, then=_then)),
    Kind("cut_before_commit", _cut_commit(CommitCut.BEFORE), _drawn_of(*_SIDES)),
    Kind("cut_after_commit", _cut_commit(CommitCut.AFTER), _drawn_of(*_SIDES)),
    Kind("cut_valkey", _cut, _drawn_of("valkey", times=_times)),
    Kind("deafen_valkey", _deafen, _drawn_of("valkey", for_s=_deaf_s, then=_then)),
    Kind("ipc_lost", _terminal("ipc_lost"), _for(0.1, 1.5)),
    Kind("link_lost", _terminal("link_lost"), _for(0.2, 3.0)),
    Kind("hang", _terminal("hang"), _for(0.5, 6.0)),
    Kind("other_account", _terminal("other_account", refuses=True), _for(0.3, 2.0)),
    Kind("update_restart", _terminal("update_restart"), _for(0.1, 1.5)),
    Kind("slow_history", _terminal("slow_history"), _for(0.3, 3.0)),
    Kind("clock_stepped", _terminal("clock_stepped"), _step),
    Kind("disk_full", _fill, _filled, fills_disk=True),
)
BY_NAME = {kind.name: kind for kind in KINDS}


def of_way(way: str) -> list[Kind]:
    """Return the kinds that can hit where ticks come by a way."""
    return [kind for kind in KINDS if not kind.ways or way in kind.ways]
