"""One WebSocket on the event loop: reads and checks messages, writes what the thread says, beats, and closes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from ingest.bridge.link import Link
from ingest.wire import binary, closing, limits, lines
from ingest.wire.closing import Closing, Malformed
from ingest.wire.messages import (
    Answer,
    Beat,
    Condition,
    Digests,
    Done,
    EpochRead,
    Facts,
    Failed,
    Frame,
    FromAgent,
    FromBridge,
    Hello,
    Rows,
    Settled,
    Validate,
    Validated,
    Welcome,
)

logger = logging.getLogger(__name__)

# Any: what ASGI passes around are free mappings.
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]

# Larger messages are read beside the event loop, so that no agent's ticks hold up another's.
_INLINE_BYTES = 65_536
# A peer within the window is owed its answers, a request and a few given up; one that is owed more does not read.
_OUTBOX_MOST = 4 * limits.WINDOW
# How long a peer may take for the rest and the reason: it may have stopped reading long ago.
_CLOSE_S = 2.0


class Disconnected(Exception):
    """The peer has hung up; never leaves this package."""


class Connection:
    """The event loop's side of one connection."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._outbox: asyncio.Queue[FromBridge] = asyncio.Queue()
        # Frames that may still be read before the answer to one of those read has been sent.
        self._room = asyncio.Semaphore(limits.WINDOW)
        self.link = Link(transmit=self._transmit)
        self._condition: Condition | None = None
        self._is_welcomed = False
        self._ended: asyncio.Future[Closing] = self._loop.create_future()

    def _transmit(self, message: FromBridge) -> None:
        self._loop.call_soon_threadsafe(self._put, message)

    def _put(self, message: FromBridge) -> None:
        if self._outbox.qsize() < _OUTBOX_MOST:
            self._outbox.put_nowait(message)
        else:
            self.end(Closing(closing.SILENT, f"{_OUTBOX_MOST} messages wait to be read"))

    def end(self, why: Closing) -> None:
        """Let :meth:`pump` end with a reason."""
        if not self._ended.done():
            self._ended.set_result(why)

    async def hello(self) -> Hello:
        """Wait for the first message.

        :raises Closing: if it is late or another one
        :raises Disconnected: if the peer hangs up
        """
        try:
            messages = await asyncio.wait_for(self._read(), limits.HANDSHAKE_S)
        except TimeoutError:
            raise Closing(closing.SILENT, f"no hello within {limits.HANDSHAKE_S:.0f} s") from None
        if len(messages) != 1 or not isinstance(messages[0], Hello):
            raise Malformed("the first message has to be one hello")
        return messages[0]

    async def pump(self) -> None:
        """Read and write until the connection has to end.

        :raises Closing: with the reason
        :raises Disconnected: if the peer hangs up
        """
        tasks = [asyncio.ensure_future(work) for work in (self._read_all(), self._write_all(), self._wait_for_end())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait_for_end(self) -> None:
        raise await asyncio.shield(self._ended)

    async def _read_all(self) -> None:
        patience_s = limits.DEAD_S
        while True:
            try:
                messages = await asyncio.wait_for(self._read(), patience_s)
            except TimeoutError:
                raise Closing(closing.SILENT, f"nothing heard for {patience_s} s") from None
            last = messages[-1] if messages else None
            patience_s = limits.DEAD_S + (last.busy_s if isinstance(last, Beat) else 0)
            for message in messages:
                await self._hand_over(message)

    async def _hand_over(self, message: FromAgent) -> None:
        match message:
            case Frame():
                await self._wait_for_room()
                self.link.note_time(message.now_msc)
                self.link.put(message)
            case Done() | Validate():
                await self._wait_for_room()
                self.link.put(message)
            case EpochRead():
                self.link.note_time(message.now_msc)
                await self._wait_for_room()
                self.link.put(message)
            case Digests() | Rows() | Failed():
                self.link.put_answer(message)
            case Facts():
                self.link.facts |= dict(message.facts)
            case Beat():
                if message.condition != self._condition:
                    self._condition = message.condition
                    self.link.put_news(message)
                self.link.note_time(message.now_msc or 0)
            case Hello():
                raise Malformed("hello: said a second time")

    async def _wait_for_room(self) -> None:
        """Read nothing more while the window is full: the peer is held up, not dropped."""
        if self._room.locked():
            self.link.hold_up(True)
        await self._room.acquire()
        self.link.hold_up(False)

    async def _read(self) -> list[FromAgent]:
        event = await self._receive()
        if event["type"] != "websocket.receive":
            raise Disconnected
        raw = event.get("bytes")
        text = event.get("text") or ""
        size = len(text if raw is None else raw)
        if size > limits.MESSAGE_BYTES:
            raise Malformed(f"message of {size} bytes", code=closing.TOO_BIG)
        if size > _INLINE_BYTES:
            return await asyncio.to_thread(_decode, raw, text)
        return _decode(raw, text)

    async def _write_all(self) -> None:
        while True:
            try:
                message: FromBridge = await asyncio.wait_for(self._outbox.get(), limits.BEAT_S)
            except TimeoutError:
                message = Beat()
            try:
                await asyncio.wait_for(self._write(message), limits.DEAD_S)
            except TimeoutError:
                raise Closing(closing.SILENT, f"nothing read for {limits.DEAD_S} s") from None
            if isinstance(message, Answer | Settled | Validated) or self._answers_epoch(message):
                self._room.release()

    def _answers_epoch(self, message: FromBridge) -> bool:
        """Return whether a message answers that an epoch was read: every welcome but the first."""
        is_welcome = isinstance(message, Welcome)
        is_answer, self._is_welcomed = is_welcome and self._is_welcomed, self._is_welcomed or is_welcome
        return is_answer

    async def _write(self, message: FromBridge) -> None:
        try:
            await self._send({"type": "websocket.send", "text": lines.write(message)})
        except OSError as error:
            raise Disconnected from error

    async def close(self, why: Closing) -> None:
        """Send what the thread has said and was not sent yet, then the reason, if the peer reads them soon."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                while not self._outbox.empty():
                    await self._write(self._outbox.get_nowait())
                await self._send({"type": "websocket.close", "code": why.code, "reason": why.reason})
        except (Disconnected, OSError, RuntimeError, TimeoutError):
            # Hung up meanwhile, or not reading: there is nobody to tell.
            logger.info("reason not told", extra={"code": why.code})


def _decode(raw: bytes | None, text: str) -> list[FromAgent]:
    return lines.from_agent(text) if raw is None else [binary.decode(raw)]
