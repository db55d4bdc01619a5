"""The agent's WebSocket to the bridge."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect

from ingest.wire import binary, closing, limits, lines
from ingest.wire.closing import Closing
from ingest.wire.messages import Frame, FromAgent, FromBridge, Rows
from tickhub.core import textfiles
from tickhub.core.errors import TransientError, UsageError

PATH = "/ws/ingest"
_OPEN_S = 10


class BridgeUnavailable(TransientError):
    """The bridge cannot be reached, or the connection was cut: the agent tries again."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the bridge is, and how it is trusted. The token appears in no message."""

    url: str
    token: str
    ca_file: Path | None = None

    def __repr__(self) -> str:
        return f"Address(url={self.url!r})"


def address(url: str, token_file: Path, *, ca_file: Path | None, allows_plain: bool) -> Address:
    """Check what the user gave.

    :raises UsageError: if the URL is none, would send the token in the clear, or the file holds no token
    """
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.query or parts.fragment or parts.username:
        # What stands before the host or in a query may be a secret.
        shown = url.rpartition("@")[2].partition("?")[0]
        raise UsageError(f"--bridge {shown}: expected wss://HOST or ws://127.0.0.1:8001")
    if parts.scheme == "ws" and not allows_plain and not _is_loopback(parts.hostname):
        raise UsageError(
            f"--bridge {url}: the token would travel in the clear; use wss://, or --insecure inside a tunnel"
        )
    try:
        token = textfiles.read(token_file).strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"--token-file {token_file}: cannot be read: {error}") from error
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"--token-file {token_file}: holds no token")
    path = parts.path if parts.path not in ("", "/") else PATH
    return Address(urlunsplit((parts.scheme, parts.netloc, path, "", "")), token, ca_file)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Link:
    """One open connection."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._waiting: list[FromBridge] = []

    def send(self, message: FromAgent) -> None:
        """Send a message.

        :raises Closing: if the bridge closed with a reason
        :raises BridgeUnavailable: if the connection is gone
        """
        raw = binary.encode(message) if isinstance(message, Frame | Rows) else lines.write(message)
        try:
            self._socket.send(raw)
        except ConnectionClosed as error:
            raise _why(error) from error

    def receive(self, timeout_s: float) -> FromBridge | None:
        """Return the next message, None where none came in time. Raises as :meth:`send`."""
        if not self._waiting:
            try:
                text = self._socket.recv(timeout=max(timeout_s, 0))
            except TimeoutError:
                return None
            except ConnectionClosed as error:
                raise _why(error) from error
            self._waiting = lines.from_bridge(text) if isinstance(text, str) else []
        return self._waiting.pop(0) if self._waiting else None


@contextmanager
def opened(where: Address) -> Iterator[Link]:
    """Connect, and hang up in the end.

    :raises BridgeUnavailable: if the bridge cannot be reached
    :raises UsageError: if its certificate cannot be trusted
    """
    with ExitStack() as stack:
        try:
            socket = stack.enter_context(_connect(where))
        except ssl.SSLCertVerificationError as error:
            raise UsageError(f"--bridge {where.url}: certificate not trusted: {error.verify_message}") from error
        except InvalidURI as error:
            raise UsageError(f"--bridge {where.url}: no address") from error
        except (OSError, InvalidHandshake, ConnectionClosed) as error:
            raise BridgeUnavailable(f"{where.url}: {_first_line(error)}") from error
        yield Link(socket)


def _connect(where: Address) -> ClientConnection:
    return connect(
        where.url,
        additional_headers={"Authorization": f"Bearer {where.token}"},
        ssl=_trust(where),
        compression=None,
        open_timeout=_OPEN_S,
        close_timeout=2,
        max_size=limits.MESSAGE_BYTES,
        # Ends a connection whose peer has gone silent even while a message is being sent. A call into a terminal stops
        # all threads, so that a pong is seen late: no sooner than the longest call.
        ping_interval=limits.BEAT_S,
        ping_timeout=limits.DEAD_S + limits.BUSY_S,
        user_agent_header="tickhub-agent",
    )


def _trust(where: Address) -> ssl.SSLContext | None:
    if where.url.startswith("ws:"):
        return None
    try:
        return ssl.create_default_context(cafile=where.ca_file)
    except OSError as error:
        raise UsageError(f"--ca {where.ca_file}: cannot be read: {error}") from error


def _why(error: ConnectionClosed) -> Closing | BridgeUnavailable:
    received = error.rcvd
    if received is None or received.code in (closing.NORMAL, closing.RESTARTING, closing.TRY_LATER):
        reason = received.reason if received else ""
        return BridgeUnavailable(f"connection ended: {reason or _first_line(error)}")
    return Closing(received.code, received.reason)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
