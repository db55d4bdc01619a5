"""A bridge's connection whose peer does not read: nothing piles up, and it ends."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from ingest.bridge.connection import Connection, Event
from ingest.wire import closing, limits
from ingest.wire.closing import Closing
from ingest.wire.messages import Answer, Beat, Frame


class Server:
    """An ASGI server with a peer that says the same again and again, and reads nothing."""

    def __init__(self, *texts: str, pause_s: float = 0.0) -> None:
        self._texts = list(texts)
        self._pause_s = pause_s

    async def receive(self) -> Event:
        await asyncio.sleep(self._pause_s)
        return {"type": "websocket.receive", "text": self._texts[0] if len(self._texts) == 1 else self._texts.pop(0)}

    async def send(self, event: Event) -> None:
        await asyncio.Event().wait()


def frame(number: int) -> str:
    return json.dumps({"type": "frame", "number": number, "now_msc": 1, "parts": []})


BEAT = json.dumps({"type": "beat"})


def run(server: Server, act: Callable[[Connection], Awaitable[None]]) -> Closing | None:
    """Pump until an action is over, or return the reason for which the connection ended before."""

    async def main() -> Closing | None:
        connection = Connection(server.receive, server.send)
        pump = asyncio.ensure_future(connection.pump())
        acting = asyncio.ensure_future(act(connection))
        await asyncio.wait({pump, acting}, return_when=asyncio.FIRST_COMPLETED)
        pump.cancel()
        acting.cancel()
        found = (await asyncio.gather(pump, acting, return_exceptions=True))[0]
        return found if isinstance(found, Closing) else None

    return asyncio.run(main())


async def for_ever(connection: Connection) -> None:
    await asyncio.Event().wait()


def test_no_more_frames_are_read_than_the_window_has_while_no_answer_can_be_sent() -> None:
    server = Server(*(frame(number) for number in range(30)), BEAT)
    taken: list[int] = []

    async def answer_all(connection: Connection) -> None:
        while isinstance(message := await asyncio.to_thread(connection.link.next, 0.2), Frame):
            taken.append(message.number)
            connection.link.send(Answer(message.number, True, ()))

    run(server, answer_all)

    assert taken == list(range(limits.WINDOW))


def test_a_peer_that_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DEAD_S", 0.2)

    async def say(connection: Connection) -> None:
        connection.link.send(Beat())
        await asyncio.Event().wait()

    why = run(Server(BEAT, pause_s=0.01), say)

    assert why is not None
    assert (why.code, why.reason) == (closing.SILENT, "nothing read for 0.2 s")


def test_what_is_said_to_a_peer_that_reads_nothing_has_a_bound() -> None:
    async def say_much(connection: Connection) -> None:
        for _ in range(100):
            connection.link.send(Beat())
        await asyncio.Event().wait()

    why = run(Server(BEAT, pause_s=0.01), say_much)

    assert why is not None
    assert (why.code, why.reason) == (closing.SILENT, "32 messages wait to be read")


def test_a_reason_that_nobody_reads_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.bridge.connection._CLOSE_S", 0.1)

    async def main() -> None:
        connection = Connection(Server(BEAT).receive, Server(BEAT).send)
        await asyncio.wait_for(connection.close(Closing(closing.UNKNOWN_TOKEN, "the token was revoked")), 5)

    asyncio.run(main())
