"""A TCP proxy before a server that can go deaf, cut its connections, and cut one between a commit and its answer.

Deaf, connections stay open and not a byte passes any more: that is what a hung switch, a frozen virtual machine or a
full pipe look like, for no end of the connection is ever told.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import TracebackType

_CHUNK_BYTES = 65_536
_STEP_S = 0.05
# PostgreSQL's ReadyForQuery with the state of the session: idle, so that all is committed, or in a transaction.
_READY_IDLE, _READY_INSIDE = b"Z\0\0\0\x05I", b"Z\0\0\0\x05T"
# A statement of its own transaction that carries a batch is longer than any other.
_SAVE_BYTES = 2_000


class CommitCut(Enum):
    """Where a connection to PostgreSQL is cut: before a commit arrives, or before its answer does."""

    BEFORE = "before"
    AFTER = "after"


class _Pair:
    """One connection: the client's side and the server's."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.is_cut = threading.Event()
        # Whether the server's newest answer left a transaction open.
        self.is_inside = False
        self._running = 2
        self._lock = threading.Lock()

    def cut(self) -> None:
        """End both sides; those who wait in a read wake up."""
        self.is_cut.set()
        for side in (self.client, self.server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def leave(self) -> bool:
        """Close the sockets once nobody can be in a call on them; return whether that was now."""
        with self._lock:
            self._running -= 1
            if self._running:
                return False
        self.client.close()
        self.server.close()
        return True


class FaultProxy:
    """Listens on a port of the loopback interface from ``with`` to its end and forwards to one server.

    ``target`` is the server's Unix socket, or its host and port; it can be changed for connections to come.
    """

    def __init__(self, target: Path | tuple[str, int]) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_STEP_S)
        self.port: int = self._listener.getsockname()[1]
        self._hears = threading.Event()
        self._hears.set()
        self._is_ended = threading.Event()
        self._pairs: set[_Pair] = set()
        self._armed: CommitCut | None = None
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

    @property
    def has_connections(self) -> bool:
        """Return whether anybody is connected."""
        return bool(self._pairs)

    @property
    def is_armed(self) -> bool:
        """Return whether the next commit still waits to be cut."""
        return self._armed is not None

    def deafen(self) -> None:
        """From now on pass nothing on, in no direction, not even that a side has hung up."""
        self._hears.clear()

    def hear(self) -> None:
        """Pass on again, beginning with what came meanwhile."""
        self._hears.set()

    def cut(self) -> None:
        """End every connection at once, on both sides."""
        for pair in list(self._pairs):
            pair.cut()

    def cut_commit(self, where: CommitCut | None) -> None:
        """Cut the connection of the next commit that passes; None waits for no commit any more."""
        self._armed = where

    def _run(self) -> None:
        while not self._is_ended.is_set():
            if not self._hears.wait(_STEP_S):
                continue
            with contextlib.suppress(TimeoutError):
                self._accept()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.settimeout(None)
        try:
            server = self._connect()
        except OSError:
            client.close()
            return
        pair = _Pair(client, server)
        self._pairs.add(pair)
        for pump in (self._ask, self._answer):
            threading.Thread(target=self._pump, args=(pair, pump), daemon=True).start()

    def _connect(self) -> socket.socket:
        if isinstance(self.target, tuple):
            return socket.create_connection(self.target)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.connect(str(self.target))
        except OSError:
            server.close()
            raise
        return server

    def _pump(self, pair: _Pair, step: Callable[[_Pair], bool]) -> None:
        with contextlib.suppress(OSError):
            while step(pair):
                pass
        pair.cut()
        if pair.leave():
            self._pairs.discard(pair)

    def _ask(self, pair: _Pair) -> bool:
        piece = self._heard(pair, pair.client)
        # What ends a transaction under way travels with its commit; a save is its own transaction.
        if self._armed is CommitCut.BEFORE and (pair.is_inside or len(piece) > _SAVE_BYTES):
            self._armed = None
            return False
        pair.server.sendall(piece)
        return bool(piece)

    def _answer(self, pair: _Pair) -> bool:
        piece = self._heard(pair, pair.server)
        if self._armed is CommitCut.AFTER and piece.endswith(_READY_IDLE):
            self._armed = None
            return False
        pair.is_inside = piece.endswith(_READY_INSIDE)
        pair.client.sendall(piece)
        return bool(piece)

    def _heard(self, pair: _Pair, side: socket.socket) -> bytes:
        """Return what a side sends, once it may pass."""
        piece = side.recv(_CHUNK_BYTES)
        while not self._hears.wait(_STEP_S):
            if pair.is_cut.is_set() or self._is_ended.is_set():
                return b""
        return piece
