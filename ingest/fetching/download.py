"""Downloads one file: whole or not at all, tried again while the server may recover."""

import http.client
import os
import random
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ingest.sources.providers.loaded import Unreadable
from tickhub.core import clock
from tickhub.core.errors import TransientError, UsageError

_WAIT_MOST_S = 60.0
_AGENT = "tickhub"
# What may pass: timeouts, too many requests, and the server's own errors.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class DownloadFailed(TransientError):
    """A file could not be had, however often it was tried."""


class NotThere(TransientError):
    """The server has no such file, now."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long to wait for an answer, how often to try again, and the longest first pause between two tries."""

    timeout_s: float = 30.0
    retries: int = 5
    wait_s: float = 0.5


class _TryAgain(Exception):
    """One try failed in a way that may pass; ``after_s`` is what the server asked for."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


def download(
    url: str, path: Path, *, check: Callable[[bytes], object], policy: Policy, retried: Callable[[str], None]
) -> int:
    """Put a file in its place by one rename; return its bytes.

    :raises NotThere: if the server says so
    :raises DownloadFailed: with the reason of the last try
    :raises UsageError: if the folder cannot be written to
    """
    raw = _receive_patiently(url, check, policy, retried)
    # A name of its own: what another run into this folder is still writing must not get the file's name.
    making = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with making.open("xb") as file:
            file.write(raw)
            file.flush()
            # Else a power cut could leave the name of an empty file, which means an hour without ticks.
            os.fsync(file.fileno())
        making.replace(path)
    except OSError as error:
        making.unlink(missing_ok=True)
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error
    return len(raw)


def _receive_patiently(
    url: str, check: Callable[[bytes], object], policy: Policy, retried: Callable[[str], None]
) -> bytes:
    for attempt in range(policy.retries + 1):
        try:
            raw = _receive(url, policy.timeout_s)
            check(raw)
        except (_TryAgain, Unreadable) as error:
            if attempt == policy.retries:
                raise DownloadFailed(f"{url}: {error}; tried {attempt + 1} times") from error
            retried(f"{url}: {error}")
            # Full jitter, so that many that failed together do not come back together.
            pause_s = random.uniform(0, min(policy.wait_s * 2**attempt, _WAIT_MOST_S))  # noqa: S311  # no secret
            clock.sleep(max(pause_s, error.after_s if isinstance(error, _TryAgain) else 0.0))
        else:
            return raw
    raise AssertionError("the last try returns or raises")


def _receive(url: str, timeout_s: float) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": _AGENT})  # noqa: S310  # http(s), checked by mirror
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310  # likewise
            raw: bytes = answer.read()
            # Cut off before its body, an answer that does not tell its length looks like an hour without ticks.
            if not raw and answer.headers.get("Content-Length") != "0" and not answer.chunked:
                raise _TryAgain("is empty and does not say that it is whole")
            return raw
    except urllib.error.HTTPError as error:
        with error:
            if error.code in (404, 410):
                raise NotThere(f"{url}: HTTP {error.code}") from error
            if error.code in _PASSING:
                raise _TryAgain(f"HTTP {error.code}", _asked_s(error.headers.get("Retry-After"))) from error
            raise DownloadFailed(f"{url}: HTTP {error.code} {error.reason}") from error
    except http.client.IncompleteRead as error:
        raise _TryAgain(f"cut off after {len(error.partial)} bytes") from error
    except (OSError, http.client.HTTPException) as error:
        # URLError wraps what the connection met.
        reason = getattr(error, "reason", None) or error
        raise _TryAgain(str(reason) or type(error).__name__) from error


def _asked_s(retry_after: str | None) -> float:
    """Return the seconds that a server asks for, at most a minute; a date, which it may send too, is not heeded."""
    return min(float(retry_after), _WAIT_MOST_S) if retry_after and retry_after.isdecimal() else 0.0
