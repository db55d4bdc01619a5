"""Addresses to listen on, as commands take them: HOST:PORT."""

import socket

from tickhub.core.errors import UsageError


def read(option: str, text: str) -> tuple[str, int]:
    """Return host and port.

    :raises UsageError: if it is no address, or something listens there already
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        msg = f"{option} {text}: expected HOST:PORT"
        raise UsageError(msg)
    family = socket.AF_INET6 if ":" in host.strip("[]") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            msg = f"{option} {text}: {error.strerror}; choose another address"
            raise UsageError(msg) from error
    return host.strip("[]"), int(port)
