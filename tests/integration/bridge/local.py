"""A bridge within the tests' process: its server on a thread, so that a test reaches the limits and what lies below."""

import asyncio
import socket
import threading
from typing import Self

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from tests.integration.embedded.conftest import wait_for
from tickhub import bridge


class LocalBridge:
    """One server. Little fits into the sockets' buffers, so that a peer that does not read is soon noticed."""

    def __init__(self) -> None:
        self._bridge = bridge.make()
        self.server = bridge.make_server(self._bridge, "127.0.0.1", 0)
        self._listening = bridge.listen(self.server)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.port = int(self._listening.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert wait_for(lambda: self.server.started, within_s=10)
        return self

    async def _serve(self) -> None:
        watching = asyncio.ensure_future(self._bridge.shut_out_revoked())
        await self.server.serve([self._listening])
        watching.cancel()

    def __exit__(self, *exception: object) -> None:
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/ingest"

    @property
    def is_blocked(self) -> bool:
        """Whether a peer does not take what is sent to it."""
        connections = self.server.server_state.connections
        return any(isinstance(one, WebSocketsSansIOProtocol) and not one.writable.is_set() for one in connections)

    @property
    def seats(self) -> int:
        """How many connections have a source or wait for one."""
        return len(self._bridge._registry.seats)

    def log(self) -> str:
        """What it said."""
        return "the test's own log has it"
