"""Sends one message over one channel: to the log, as a mail, or to a web address."""

import hashlib
import hmac
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.mail import EmailMessage

from quality.models import Channel, Incident
from tickhub.core.errors import TransientError

if TYPE_CHECKING:
    from quality.notifying.messages import Message

logger = logging.getLogger(__name__)

# The whole exchange: finding the host, connecting, sending, hearing the answer.
WITHIN_S = 5.0
_EXCHANGE = str(Path(__file__).with_name("exchange.py"))
# The log's level of each severity; what is over is no warning any more.
_LEVELS = {Incident.Severity.WARNING.value: logging.WARNING, Incident.Severity.ERROR.value: logging.ERROR}
_OVER = frozenset({"ACKNOWLEDGED", "RESOLVED"})


class SendFailed(TransientError):
    """The message was not taken; it may have arrived all the same."""


def send(message: "Message", *, kind: str, address: str, within_s: float = WITHIN_S) -> None:
    """Send a message; returns once the other side has taken it.

    :raises SendFailed: if it was not taken within so many seconds, in one line without the address
    """
    match kind:
        case Channel.Kind.LOG:
            _log(message)
        case Channel.Kind.EMAIL:
            _exchange("mail", _mail(message, address), within_s)
        case Channel.Kind.WEBHOOK:
            _exchange("webhook", _post(message, address), within_s)


def _log(message: "Message") -> None:
    told = message.incident
    level = logging.INFO if message.event in _OVER else _LEVELS[told["severity"]]
    facts = {name: told[name] for name in ("cause", "severity", "source", "feed", "count")}
    evidence = json.dumps(told["evidence"], ensure_ascii=False)
    logger.log(
        level,
        "incident",
        extra={"event": message.event, "incident": told["id"]} | facts | {"evidence": evidence},
    )


def _mail(message: "Message", address: str) -> dict[str, Any]:  # Any: JSON
    to = [one.strip() for one in address.split(",")]
    mail = EmailMessage(
        subject=f"[tickhub] {message.subject}",
        body=message.text,
        to=to,
        # The same each time, so that a mail program may drop what comes twice.
        headers={"Message-ID": f"<{message.message_id}@tickhub>"},
    )
    tls = "starttls" if settings.EMAIL_USE_TLS else "tls" if settings.EMAIL_USE_SSL else "off"
    server = {"host": settings.EMAIL_HOST, "port": settings.EMAIL_PORT, "tls": tls}
    account = {"user": settings.EMAIL_HOST_USER, "password": settings.EMAIL_HOST_PASSWORD}
    body = mail.message().as_bytes().decode().replace("\r\n", "\n").replace("\n", "\r\n")
    return server | account | {"sender": settings.DEFAULT_FROM_EMAIL, "to": to, "body": body}


def _post(message: "Message", address: str) -> dict[str, Any]:  # Any: JSON
    body = message.as_bytes()
    headers = {"Content-Type": "application/json", "User-Agent": "tickhub"}
    if settings.WEBHOOK_KEY:
        headers["X-Tickhub-Signature"] = f"sha256={signature(body, key=settings.WEBHOOK_KEY)}"
    return {"address": address, "headers": headers, "body": body.decode()}


def signature(body: bytes, *, key: str) -> str:
    """Return the HMAC-SHA256 of a body in hexadecimal digits."""
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def _exchange(kind: str, facts: dict[str, Any], within_s: float) -> None:  # Any: JSON
    """Do an exchange in a process of its own, which is killed when its time is over.

    No other bound holds for all of it: a name's resolution knows none, and a socket's holds for each single byte.
    """
    job = json.dumps({"kind": kind, "within_s": within_s} | facts)
    try:
        # On its input, as anybody on the machine may read a command line.
        done = subprocess.run(
            [sys.executable, "-I", "-S", _EXCHANGE], input=job, capture_output=True, text=True, timeout=within_s
        )
    except subprocess.TimeoutExpired:
        # Not chained: it repeats what was said so far.
        raise SendFailed(f"{kind}: not taken within {within_s:g} s") from None
    if done.returncode != 0:
        # The last line of its traceback, up to what may be in words of others.
        last = (done.stderr.strip().splitlines() or [""])[-1].partition(":")[0]
        raise SendFailed(f"{kind}: ended with {done.returncode} {last}".strip())
    if done.stdout:
        raise SendFailed(f"{kind}: {done.stdout}")
