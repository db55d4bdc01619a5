"""How ticks come into the system: the ways that the matrix knows, each with the processes that it needs."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.management import call_command
from django.db import connection

from tickhub.bench.torture.nursery import Spawned

if TYPE_CHECKING:
    from tickhub.bench.torture.stage import Stage


@dataclass(frozen=True, slots=True)
class Play:
    """What is captured: a source by its name and SPEC, from a host's instant on; logs and faults lie in ``folder``."""

    source: str
    spec: str
    origin_msc: int
    folder: Path

    @property
    def fault_file(self) -> Path:
        """The file in which the simulated terminal finds its faults."""
        return self.folder / "faults.jsonl"

    def environment(self) -> dict[str, str]:
        """Return what the process with the terminal needs to find its faults."""
        return {"TICKHUB_FAULT_FILE": str(self.fault_file)}


@dataclass(frozen=True, slots=True)
class Way:
    """A way by its name; ``start`` starts what captures."""

    name: str
    start: Callable[["Stage", Play], Spawned]


def _poll(stage: "Stage", play: Play) -> Spawned:
    argv = ["manage.py", "poll", "--source", play.spec, "--origin", str(play.origin_msc), "--until-drained"]
    return stage.spawn("poller", argv, play.folder / "poller.log", play.environment())


def _send(stage: "Stage", play: Play) -> Spawned:
    """Start an agent; the bridge runs on from run to run."""
    token = play.folder / "token"
    call_command("agent_token", source=play.source, clock="UTC", out=token, stdout=io.StringIO())
    connection.close()
    argv = ["manage.py", "agent", "--source", play.spec, "--bridge", stage.serve_bridge(), "--token-file", str(token)]
    return stage.spawn("agent", [*argv, "--until-drained"], play.folder / "agent.log", play.environment())


POLLER = Way("poller", _poll)
AGENT = Way("agent", _send)
WAYS = {way.name: way for way in (POLLER, AGENT)}
