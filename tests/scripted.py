"""A source that goes one step of a script on with each poll, and its run of capture."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from ingest import leases
from ingest.connections import ConnectionLog
from ingest.sources.terminal import Health, Link
from tests.terminals import HandWrittenSource, HandWrittenTerminal
from tickhub import epochs
from tickhub.core import clock, zones
from tickhub.core.ticks import TICK_DTYPE, Ticks
from tickhub.epochs import Run
from tickhub.polling import Ending
from tickhub.reference import queries as reference
from tickhub.reference import sources
from tickhub.reference.sources import Description, SymbolDescription
from tickhub.registering import Registered


@dataclass(frozen=True)
class Step:
    """What one poll sees: the time (UTC), each symbol's history, which symbols cannot be read, and the link."""

    now_msc: int
    history: dict[str, Ticks]
    fails: frozenset[str] = frozenset()
    link: Link = Link.CONNECTED
    connections: int = 0


@dataclass
class ScriptedSource(HandWrittenSource):
    """Takes the next step with each poll; ``steps`` are those to come."""

    steps: list[Step] = field(default_factory=list)
    newest: Step | None = None

    def begin_poll(self) -> int:
        if self.steps:
            self.newest = self.steps.pop(0)
            self.now_msc = self.newest.now_msc
            assert isinstance(self.terminal, HandWrittenTerminal)
            self.terminal.history, self.terminal.fails = dict(self.newest.history), set(self.newest.fails)
        return self.now_msc

    def health(self) -> Health:
        return Health(self.newest.link if self.newest else Link.CONNECTED)

    @property
    def connections(self) -> int:
        return self.newest.connections if self.newest else 0

    def is_exhausted(self) -> bool:
        return False


def quotes(walls: Sequence[int]) -> Ticks:
    """Quotes at times of the terminal's clock, each with a price that its time gives it."""
    ticks = np.zeros(len(walls), dtype=TICK_DTYPE)
    ticks["time_msc"] = walls
    ticks["time"], ticks["flags"] = ticks["time_msc"] // 1000, 6
    ticks["bid"] = 1 + ticks["time_msc"] % 1_000_000_000 / 1e9
    ticks["ask"] = ticks["bid"] + 1
    return ticks


def make_run(*symbols: str, begins_msc: int, rule_text: str = "NY+7") -> tuple[ScriptedSource, Run]:
    """Register a source whose feeds begin at a UTC time; it has no steps yet."""
    rule = zones.parse(rule_text)
    source = ScriptedSource(HandWrittenTerminal(), symbols, now_msc=begins_msc, clock=rule)
    row = sources.register(
        Description(
            name="hand",
            spec="hand:",
            scheme="hand",
            server_name="hand-written",
            is_replay=False,
            clock=rule,
            clock_evidence="set by the test",
        ),
        now_msc=begins_msc,
    )
    feeds = sources.register_feeds(source=row, symbols=[SymbolDescription(s, 5, True, begins_msc) for s in symbols])
    registered = Registered(
        source_id=row.pk,
        name=row.name,
        epochs=reference.epochs(source_id=row.pk),
        feeds={feed.symbol: (feed.pk, feed.begins_msc) for feed in feeds},
    )
    lease = leases.acquire(source_id=row.pk, holder="test", ttl_ms=60_000)
    return source, Run(source, registered, lease, lambda _: True)


def keep_time(source: ScriptedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what waits go by the script's time; nobody sleeps."""
    begun_s, begun_msc = clock.monotonic_s(), source.now_msc
    monkeypatch.setattr(clock, "monotonic_s", lambda: begun_s + (source.now_msc - begun_msc) / 1000)
    monkeypatch.setattr(clock, "sleep", lambda _: None)


def play(source: ScriptedSource, run: Run, steps: Sequence[Step]) -> int:
    """Capture until the script is at its end; return the ticks captured."""
    source.steps = list(steps)
    log = ConnectionLog(source_id=run.registered.source_id, name=run.registered.name)
    return epochs.capture(run, Ending(), lambda: not source.steps, log)
