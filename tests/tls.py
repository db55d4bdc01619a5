"""Self-made certificates, and a proxy that speaks TLS before a port, as an operator puts one before the bridge."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that vouches for itself, and its key."""

    path: Path
    key_path: Path


def make_certificate(folder: Path, name: str, *, subject: str = "IP:127.0.0.1") -> Certificate:
    """Make a certificate of an address; skips the test where openssl is absent."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes certificates, is absent")
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-subj", f"/CN={name}", "-addext", f"subjectAltName={subject}"]
    command += ["-keyout", str(made.key_path), "-out", str(made.path)]
    subprocess.run(command, check=True, capture_output=True)
    return made


class TlsProxy:
    """Passes bytes on between TLS clients and a port."""

    def __init__(self, port: int, certificate: Certificate) -> None:
        self._behind = port
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate.path, certificate.key_path)
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_ready.wait(10)
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._pass_on, "127.0.0.1", 0, ssl=self._context) as server:
            self.port = int(server.sockets[0].getsockname()[1])
            self._is_ready.set()
            await self._stop.wait()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
