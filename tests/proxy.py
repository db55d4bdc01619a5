"""A TCP proxy before a server that can go deaf: connections stay open and not a byte passes any more.

That is what a hung switch, a frozen virtual machine or a full pipe look like: no end of the connection is ever told.
"""

import contextlib
import select
import socket
import threading
from pathlib import Path
from types import TracebackType

_CHUNK_BYTES = 65_536
_STEP_S = 0.05


class FaultProxy:
    """Listens on a port of the loopback interface from ``with`` to its end and forwards to one server.

    ``target`` is the server's Unix socket, or its host and port.
    """

    def __init__(self, target: Path | tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._is_deaf = threading.Event()
        self._is_ended = threading.Event()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_ended.set()
        self._thread.join()
        self._listener.close()
        self.cut()

    def deafen(self) -> None:
        """From now on pass nothing on, in no direction, not even that a side has hung up."""
        self._is_deaf.set()

    def hear(self) -> None:
        """Pass on again, beginning with what came meanwhile."""
        self._is_deaf.clear()

    @property
    def has_connections(self) -> bool:
        """Return whether anybody is connected."""
        return bool(self._pairs)

    def cut(self) -> None:
        """End every connection at once, on both sides."""
        for side in list(self._pairs):
            side.close()
        self._pairs.clear()

    def _run(self) -> None:
        while not self._is_ended.is_set():
            if self._is_deaf.is_set():
                self._is_ended.wait(_STEP_S)
                continue
            with contextlib.suppress(ValueError):  # a connection was cut meanwhile
                ready, _, _ = select.select([self._listener, *self._pairs], [], [], _STEP_S)
                for side in ready:
                    self._accept() if side is self._listener else self._forward(side)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = self._connect()
        except OSError:
            client.close()
            return
        self._pairs |= {client: server, server: client}

    def _connect(self) -> socket.socket:
        if isinstance(self._target, tuple):
            return socket.create_connection(self._target)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.connect(str(self._target))
        return server

    def _forward(self, side: socket.socket) -> None:
        other = self._pairs.get(side)
        if other is None or self._is_deaf.is_set():
            return
        try:
            piece = side.recv(_CHUNK_BYTES)
            other.sendall(piece)
        except OSError:
            piece = b""
        if not piece:
            for end in (side, other):
                self._pairs.pop(end, None)
                end.close()
