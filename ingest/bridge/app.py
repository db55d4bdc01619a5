"""The bridge as an ASGI application: /ws/ingest for agents, /health/ for whoever watches the process."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, connection

from ingest import leases, rereads
from ingest.bridge import registering, registry, tokens
from ingest.bridge.connection import Connection, Disconnected, Event, Receive, Send
from ingest.bridge.holders import Holders
from ingest.bridge.link import Link
from ingest.bridge.registry import Registry, Seat
from ingest.bridge.session import Means, Session
from ingest.models import AgentToken
from ingest.wire import closing
from ingest.wire.closing import Closing
from ingest.wire.messages import Hello
from tickhub.core import clock, metrics

logger = logging.getLogger(__name__)

PATH, HEALTH_PATH = "/ws/ingest", "/health/"
_CONNECTIONS_MOST = 256
# A lease that is being given back, or has just expired, is worth a moment.
_LEASE_S, _LEASE_STEP_S = 1.0, 0.1
_CHECK_TOKENS_S = 5.0
_DATABASE_AWAY = "the database does not answer"

_T = TypeVar("_T")


class Bridge:
    """The application. Everything but :meth:`_serve` runs on the event loop."""

    def __init__(self, *, means: Means, lease_ttl_ms: int) -> None:
        self._means = means
        self._lease_ttl_ms = lease_ttl_ms
        self._registry = Registry()
        self._holders = Holders()
        self._count = [0]
        # A session keeps its thread: the event loop's own pool is for short work.
        self._threads = ThreadPoolExecutor(_CONNECTIONS_MOST, thread_name_prefix="agent")
        self._is_stopping = False

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            await _answer_http(scope["path"], send)
        elif scope["type"] == "websocket":
            await self._answer_websocket(scope, receive, send)

    async def _answer_websocket(self, scope: Event, receive: Receive, send: Send) -> None:
        await receive()
        if scope["path"] != PATH:
            await send({"type": "websocket.close", "code": closing.NORMAL})
            return
        await send({"type": "websocket.accept"})
        peer = Connection(receive, send)
        try:
            with registry.counted(self._count, _CONNECTIONS_MOST):
                await self._converse(peer, _token(scope))
        except Disconnected:
            return
        except Closing as why:
            logger.warning("agent's connection closed", extra={"code": why.code, "reason": why.reason})
            metrics.AGENT_CLOSES.labels(str(why.code)).inc()
            await peer.close(why)

    async def _converse(self, peer: Connection, token: str) -> None:
        self._refuse_if_stopping()
        known = await asyncio.to_thread(_with_database, lambda: tokens.find(token=token))
        if known is None:
            raise Closing(closing.UNKNOWN_TOKEN, "the token is unknown or revoked")
        hello = await peer.hello()
        registering.check(hello)
        seat = Seat(hello.instance, known.pk, peer.link, peer.end)
        # Reads from now on: who hangs up while waiting for the seat must not get it.
        pump = asyncio.ensure_future(peer.pump())
        try:
            await _unless_ended(pump, self._registry.take(known.source_id, seat))
            # Whoever sits down from here on is told by `quiesce`.
            self._refuse_if_stopping()
            await self._run(pump, peer.link, hello, known)
        finally:
            self._registry.leave(known.source_id, seat)
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    def _refuse_if_stopping(self) -> None:
        if self._is_stopping:
            raise Closing(closing.RESTARTING, "the bridge is ending")

    async def _run(self, pump: "asyncio.Future[None]", link: Link, hello: Hello, known: AgentToken) -> None:
        """Run the session's thread beside the connection, until either ends; the thread is always waited for."""
        loop = asyncio.get_running_loop()
        thread = loop.run_in_executor(self._threads, _with_database, lambda: self._serve(link, hello, known))
        try:
            await asyncio.wait({thread, pump}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            link.end()
            await asyncio.wait({thread})
        thread.result()
        await pump

    def _serve(self, link: Link, hello: Hello, known: AgentToken) -> None:
        """Be the poller of the source, on this thread, until the connection ends."""
        target = registering.register(known.source, hello)
        lease = self._acquire(target.source_id, target.name)
        facts = {"source": target.name, "fence": lease.fence}
        logger.info("agent connected", extra=facts | {"symbols": len(hello.symbols)})
        metrics.AGENTS.inc()
        try:
            # Its clock may have been corrected while the lease was waited for.
            target = registering.register(known.source, hello)
            Session(link=link, hello=hello, target=target, lease=lease, means=self._means).run()
        finally:
            metrics.AGENTS.dec()
            leases.release(lease)
            logger.info("agent gone", extra=facts)

    def _acquire(self, source_id: int, name: str) -> leases.Held:
        holder = f"{rereads.HOLDER} {socket.gethostname()} pid {os.getpid()}"
        deadline_s = clock.monotonic_s() + _LEASE_S
        while True:
            try:
                return leases.acquire(source_id=source_id, holder=holder, ttl_ms=self._lease_ttl_ms)
            except leases.LeaseHeld:
                if clock.monotonic_s() >= deadline_s:
                    raise self._holders.refusal(source_id=source_id, name=name) from None
            clock.sleep(_LEASE_STEP_S)

    async def shut_out_revoked(self) -> None:
        """End the connections whose token was revoked meanwhile, every few seconds until cancelled.

        Here and not on their threads: those may be waiting for an answer, for room on the disk, or for the database.
        """
        while True:
            await asyncio.sleep(_CHECK_TOKENS_S)
            seats = self._registry.seats
            try:
                valid = await self._valid([seat.token_id for seat in seats])
            except Closing:
                # The database did not answer, which is logged: nobody can revoke a token now.
                continue
            for seat in seats:
                if seat.token_id not in valid:
                    seat.end(Closing(closing.UNKNOWN_TOKEN, "the token was revoked"))

    async def _valid(self, token_ids: list[int]) -> set[int]:
        if not token_ids:
            return set()
        return await asyncio.to_thread(_with_database, lambda: tokens.valid(token_ids=token_ids))

    def quiesce(self) -> None:
        """Take no more frames and let every session compare the past; questions are answered further on."""
        self._is_stopping = True
        for link in self._registry.links:
            link.stop()

    async def settled(self, within_s: float) -> None:
        """Wait until every session has compared the past, or the time is up."""
        deadline_s = clock.monotonic_s() + within_s
        while clock.monotonic_s() < deadline_s and not all(link.is_settled for link in self._registry.links):
            await asyncio.sleep(0.05)


def _with_database(action: Callable[[], _T]) -> _T:
    """Run an action on this thread with a database connection of its own."""
    try:
        return action()
    except (DatabaseError, InterfaceError) as error:
        logger.warning(_DATABASE_AWAY, extra={"error": str(error).split("\n", 1)[0]})
        raise Closing(closing.TRY_LATER, _DATABASE_AWAY) from error
    finally:
        connection.close()


async def _unless_ended(pump: "asyncio.Future[None]", work: Coroutine[None, None, None]) -> None:
    """Wait for work, or raise what ended the connection before."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task, pump}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    if task.cancelled():
        await pump
    task.result()


def _token(scope: Event) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if kind.lower() == "bearer" else ""
    return ""


async def _answer_http(path: str, send: Send) -> None:
    status, body = (200, b"ok\n") if path == HEALTH_PATH else (404, b"not found\n")
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
