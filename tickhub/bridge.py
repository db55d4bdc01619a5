"""Wires the bridge: an ASGI server of its own, whose threads publish what they commit."""

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from django.conf import settings

from ingest.bridge.app import Bridge
from ingest.bridge.session import Means
from ingest.gate import Gate
from ingest.target import Options
from ingest.wire import limits
from tickhub import disk, epochs, publishing, repeating
from tickhub.api import validating
from tickhub.stops import DiskGate

_SETTLE_S = 8.0
_CLOSE_S = 5


class _Server(uvicorn.Server):
    """A server whose signals :func:`run` handles: ending takes more than closing sockets."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def make() -> Bridge:
    """Return the application."""
    return Bridge(
        means=Means(
            publish=_publish,
            options=Options(
                interval_ms=settings.POLL_INTERVAL_MS,
                page_ticks=settings.PAGE_TICKS,
                publish_again_ms=settings.PUBLISH_AGAIN_MS,
            ),
            gate=_gate,
            repeat=repeating.repeat,
            leave=epochs.leave,
            validate=validating.answer,
        ),
        lease_ttl_ms=settings.LEASE_TTL_MS,
    )


# By source: a stop lasts longer than a connection, and is told when the next one goes on.
_gates: dict[int, DiskGate] = {}


def _gate(source_id: int, name: str) -> Gate:
    if source_id not in _gates:
        _gates[source_id] = DiskGate(source_id=source_id, name=name, guard=disk.guard())
    return _gates[source_id]


_publisher = publishing.Publisher()


def _publish(batch_id: int) -> bool:
    # Shared by the sessions' threads: what they race for is only how often the queue's length is asked.
    return _publisher.publish(batch_id)


def make_server(bridge: Bridge, host: str, port: int) -> uvicorn.Server:
    """Return a server for the application."""
    return _Server(
        uvicorn.Config(
            bridge,
            host=host,
            port=port,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=limits.MESSAGE_BYTES,
            # Bodies are compressed by the protocol, with a bound; the heartbeats are the protocol's own too.
            ws_per_message_deflate=False,
            ws_ping_interval=None,
            access_log=False,
            log_level="warning",
            log_config=None,
            timeout_graceful_shutdown=_CLOSE_S,
        )
    )


def listen(server: uvicorn.Server) -> socket.socket:
    """Return a socket that listens where the server is to; the connections are ended by the system if need be.

    A peer that does not read keeps even a closed connection, and what was written to it, for as long as it likes.
    """
    listening = server.config.bind_socket()
    if sys.platform == "linux":
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limits.DEAD_S * 1000)
    return listening


def run(host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT: then the past is compared, and every agent told to come again later.

    SIGUSR1 does the first half only: no more frames are taken, questions are still answered.
    """
    bridge = make()
    server = make_server(bridge, host, port)
    asyncio.run(_serve(bridge, server, listen(server)))


async def _serve(bridge: Bridge, server: uvicorn.Server, listening: socket.socket) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, bridge.quiesce)
    serving = asyncio.ensure_future(server.serve([listening]))
    stopping = asyncio.ensure_future(stop.wait())
    watching = asyncio.ensure_future(bridge.shut_out_revoked())
    await asyncio.wait({serving, stopping, watching}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        bridge.quiesce()
        await bridge.settled(_SETTLE_S)
        server.should_exit = True
    stopping.cancel()
    watching.cancel()
    await serving
    await asyncio.wait({watching})
    if not watching.cancelled():
        watching.result()
