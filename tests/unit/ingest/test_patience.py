"""How long the bridge bears silence: usually until an agent is dead, longer where it asked for that."""

import asyncio
import json

import pytest

from ingest.bridge.connection import Connection, Disconnected, Event
from ingest.wire import limits
from ingest.wire.closing import Closing


async def _pump(monkeypatch: pytest.MonkeyPatch, *, busy_s: int) -> None:
    """Say one beat, be silent for ten times as long as a living peer may be, hang up."""
    monkeypatch.setattr(limits, "DEAD_S", 0.02)
    said = [{"type": "websocket.receive", "text": json.dumps({"type": "beat", "busy_s": busy_s})}]

    async def receive() -> Event:
        if said:
            return said.pop()
        await asyncio.sleep(0.2)
        return {"type": "websocket.disconnect"}

    async def send(event: Event) -> None:
        del event

    await Connection(receive, send).pump()


def test_silent_peer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Closing, match=r"^nothing heard for 0.02 s$"):
        asyncio.run(_pump(monkeypatch, busy_s=0))


def test_peer_that_said_that_it_is_busy_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Disconnected):
        asyncio.run(_pump(monkeypatch, busy_s=5))
