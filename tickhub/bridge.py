"""Wires the bridge: an ASGI server of its own, whose threads publish what they commit."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from django.conf import settings

from ingest.bridge.app import Bridge
from ingest.bridge.session import Means
from ingest.target import Options
from ingest.wire import limits
from tickhub import publishing, repeating

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
            repeat=repeating.repeat,
        ),
        lease_ttl_ms=settings.LEASE_TTL_MS,
    )


_publisher = publishing.Publisher()


def _publish(batch_id: int) -> bool:
    # Shared by the sessions' threads: what they race for is only how often the queue's length is asked.
    return _publisher.publish(batch_id)


def run(host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT: then the past is compared, and every agent told to come again later.

    SIGUSR1 does the first half only: no more frames are taken, questions are still answered.
    """
    bridge = make()
    server = _Server(
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
    asyncio.run(_serve(bridge, server))


async def _serve(bridge: Bridge, server: uvicorn.Server) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, bridge.quiesce)
    serving = asyncio.ensure_future(server.serve())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        bridge.quiesce()
        await bridge.settled(_SETTLE_S)
        server.should_exit = True
    stopping.cancel()
    await serving
