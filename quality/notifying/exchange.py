"""Posts to a web address or sends a mail: a program of its own, so that whoever runs it can end it at any moment.

It reads a job as JSON from its input and says as one word or line on its output why it was not taken; nothing where it
was. Of what the other side says it repeats nothing but a status. It imports nothing of ours, and so starts quickly.
"""

import http.client
import json
import signal
import smtplib
import ssl
import sys
from typing import Any
from urllib.parse import urlsplit


def post(job: dict[str, Any]) -> str:  # Any: JSON
    """Post to a web address; no redirect is followed, no proxy is used. Return what is wrong."""
    parts = urlsplit(job["address"])
    host = parts.hostname or ""
    web: http.client.HTTPConnection
    if parts.scheme == "https":
        web = http.client.HTTPSConnection(host, parts.port, timeout=job["within_s"])
    else:
        web = http.client.HTTPConnection(host, parts.port, timeout=job["within_s"])
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    web.request("POST", path, body=job["body"].encode(), headers=job["headers"])
    status = web.getresponse().status
    web.close()
    return "" if 200 <= status < 300 else f"answered with status {status}"


def mail(job: dict[str, Any]) -> str:  # Any: JSON
    """Hand a mail to the server; return what is wrong."""
    server: smtplib.SMTP
    if job["tls"] == "tls":
        server = smtplib.SMTP_SSL(
            job["host"], job["port"], timeout=job["within_s"], context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(job["host"], job["port"], timeout=job["within_s"])
    with server:
        if job["tls"] == "starttls":
            server.starttls(context=ssl.create_default_context())
        if job["user"]:
            server.login(job["user"], job["password"])
        refused = server.sendmail(job["sender"], job["to"], job["body"].encode())
    return f"{len(refused)} of {len(job['to'])} addresses were refused" if refused else ""


def describe(error: Exception) -> str:
    """Return the kind of an error with what the operating system says of it, none of the other side's own words."""
    told = ""
    if isinstance(error, smtplib.SMTPResponseException):
        told = str(error.smtp_code)
    elif isinstance(error, ssl.SSLError):
        told = error.reason or ""
    elif isinstance(error, OSError) and not isinstance(error, smtplib.SMTPException):
        told = error.strerror or ""
    return f"{type(error).__name__} {told}".strip()


def main() -> None:
    """Do the job that stands on the input."""
    job = json.load(sys.stdin)
    if hasattr(signal, "setitimer"):
        # Whoever runs this kills it before, unless he was killed himself: then the system does.
        signal.setitimer(signal.ITIMER_REAL, job["within_s"] + 1)
    try:
        wrong = post(job) if job["kind"] == "webhook" else mail(job)
    except (OSError, http.client.HTTPException, smtplib.SMTPException, ValueError) as error:
        wrong = describe(error)
    sys.stdout.write(wrong)


if __name__ == "__main__":
    main()
