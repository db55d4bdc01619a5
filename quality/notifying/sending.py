"""Sends one message over one channel: to the log, as a mail, or to a web address."""

import hashlib
import hmac
import http.client
import json
import logging
import smtplib
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.mail import EmailMessage

from quality.models import Channel, Incident
from quality.notifying import messages, redaction
from tickhub.core.errors import TransientError

if TYPE_CHECKING:
    from quality.notifying.messages import Message

logger = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
# The log's level of each severity; what is over is no warning any more.
_LEVELS = {Incident.Severity.WARNING.value: logging.WARNING, Incident.Severity.ERROR.value: logging.ERROR}
_OVER = frozenset({"ACKNOWLEDGED", "RESOLVED"})


class SendFailed(TransientError):
    """The message was not taken; it may have arrived all the same."""


def send(message: "Message", *, kind: str, address: str) -> None:
    """Send a message; returns once the other side has taken it.

    :raises SendFailed: if it was not taken, in one line without the address
    """
    match kind:
        case Channel.Kind.LOG:
            _log(message)
        case Channel.Kind.EMAIL:
            _mail(message, address)
        case Channel.Kind.WEBHOOK:
            _post(message, address)


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


def _mail(message: "Message", address: str) -> None:
    mail = EmailMessage(
        subject=f"[tickhub] {message.subject}",
        body=message.text,
        to=[one.strip() for one in address.split(",")],
        # The same each time, so that a mail program may drop what comes twice.
        headers={"Message-ID": f"<{message.message_id}@tickhub>"},
    )
    try:
        mail.send()
    except smtplib.SMTPResponseException as error:
        # The server's own words may repeat the user's name.
        raise SendFailed(f"mail: {type(error).__name__} {error.smtp_code}") from error
    except (smtplib.SMTPException, OSError) as error:
        raise SendFailed(f"mail: {type(error).__name__}") from error


def _post(message: "Message", address: str) -> None:
    body = message.as_bytes()
    headers = {"Content-Type": "application/json", "User-Agent": "tickhub"}
    if settings.WEBHOOK_KEY:
        headers["X-Tickhub-Signature"] = f"sha256={signature(body, key=settings.WEBHOOK_KEY)}"
    request = urllib.request.Request(address, data=body, headers=headers, method="POST")  # noqa: S310  # see _opener
    try:
        with _opener().open(request, timeout=_TIMEOUT_S):
            return
    except urllib.error.HTTPError as error:
        # It holds the connection, which must not stay open until it is collected.
        error.close()
        raise SendFailed(f"webhook: answered with status {error.code}") from error
    except urllib.error.URLError as error:
        raise SendFailed(_one_line(error.reason)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SendFailed(_one_line(error)) from error


def signature(body: bytes, *, key: str) -> str:
    """Return the HMAC-SHA256 of a body in hexadecimal digits."""
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that speaks http and https, follows no redirect, and uses no proxy."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _one_line(error: object) -> str:
    text = redaction.redact_text(" ".join(str(error).split()), secrets=messages.secrets())
    return f"webhook: {type(error).__name__} {text}".strip()
