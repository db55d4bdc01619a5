"""Valkey in a data folder: on a port of the loopback interface, with a password."""

import random
import signal
import socket
from typing import ClassVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tickhub.core.errors import UsageError
from tickhub.embedded import binaries, processes
from tickhub.embedded.folder import DataFolder
from tickhub.embedded.server import Server

# Below the ports that the kernel hands to outgoing connections: none of those can take it while Valkey restarts.
_PORTS = range(20_000, 32_768)
_HOST = "127.0.0.1"


class EmbeddedValkey(Server):
    """valkey-server as a direct child."""

    name = "valkey"
    stop_signal = signal.SIGTERM
    _orphan_steps: ClassVar = ((signal.SIGTERM, 8.0), (signal.SIGKILL, 5.0))

    def __init__(self, folder: DataFolder) -> None:
        super().__init__(folder)
        self._data = folder.part("valkey")
        self._configuration = self._data / "valkey.conf"
        # Chosen once, so that the URL holds over restarts.
        self._port = _free_port()

    def url(self) -> str:
        """Return the URL of database 0, with the password."""
        return f"redis://:{self._folder.password(self.name)}@{_HOST}:{self._port}/0"

    def prepare(self) -> list[str]:
        """Write the configuration, which keeps the password off the command line; return the command."""
        self._folder.make_part(self.name)
        lines = {
            "bind": _HOST,
            "port": str(self._port),
            "requirepass": self._folder.password(self.name),
            "dir": '"' + str(self._data).replace("\\", "\\\\").replace('"', '\\"') + '"',
            "save": '""',
            "appendonly": "yes",
            "appendfsync": "everysec",
            # A full memory must be an error that the publisher sees, never a key that vanishes.
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            # The title then stays the command line, by which an orphan is found.
            "set-proc-title": "no",
        }
        text = "".join(f"{name} {value}\n" for name, value in lines.items())
        self._folder.write_for_servers(self._configuration, text)
        server = binaries.valkey_server(self._folder.owner, spare=self._data.parent)
        return [str(server), str(self._configuration)]

    def clear(self) -> None:
        """End an orphaned server, and a rewriting child of a killed one."""
        if not processes.end(self._processes, steps=self._orphan_steps):
            raise UsageError(f"valkey-server of {self._data} does not end: processes {self._processes()}")

    def _processes(self) -> list[int]:
        return processes.carrying(str(self._configuration), program="valkey-server")

    def answers(self) -> bool:
        """Return whether commands are taken (loading the data is over)."""
        client = redis.Redis.from_url(
            self.url(), socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0)
        )
        try:
            return bool(client.ping())
        except redis.exceptions.AuthenticationError as error:
            raise UsageError(f"port {self._port} is another server's: start again") from error
        except redis.exceptions.RedisError:
            return False
        finally:
            client.close()


def _free_port() -> int:
    # Two folders started in one moment must not choose alike.
    for port in random.SystemRandom().sample(_PORTS, 200):
        with socket.socket() as probe:
            # As the server does, so that a port in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port
    raise UsageError(f"no free port for Valkey between {_PORTS[0]} and {_PORTS[-1]}: set REDIS_URL")
