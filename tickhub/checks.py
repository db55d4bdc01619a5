"""System checks: refuses a bad combination of settings, and a database that could lose what it said it kept."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

from tickhub.core.errors import UsageError

# What must be on so that a committed tick is there after a crash.
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
LOGGED_TABLES = ("tick", "batch_payload", "ingest_batch", "ingest_cursor")


@register(Tags.security)
def check_production(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:  # Any: Django's hook
    """Refuse a production start with what only suits one machine."""
    if settings.ENVIRONMENT != "production":
        return []
    found: list[CheckMessage] = []
    if not settings.SECRET_KEY_IS_GIVEN:
        found.append(
            Error(
                "TICKHUB_SECRET_KEY is not set.",
                hint="Set it, or TICKHUB_SECRET_KEY_FILE.",
                id="tickhub.E001",
            )
        )
    elif len(settings.SECRET_KEY) < 50:
        found.append(
            Error(
                "TICKHUB_SECRET_KEY is shorter than 50 characters.",
                hint="Use a random one.",
                id="tickhub.E002",
            )
        )
    if not settings.HTTPS:
        found.append(
            Error(
                "TICKHUB_HTTPS is off: logins would travel in the clear.",
                hint="Put a TLS proxy in front and set TICKHUB_HTTPS=on.",
                id="tickhub.E003",
            )
        )
    if "*" in settings.ALLOWED_HOSTS:
        found.append(Error("TICKHUB_ALLOWED_HOSTS allows every host.", hint="Name your own.", id="tickhub.E004"))
    if settings.FAULT_FILE is not None:
        found.append(Error("TICKHUB_FAULT_FILE makes simulated terminals fail.", hint="Unset it.", id="tickhub.E005"))
    if settings.EMAIL_HOST_PASSWORD and not (settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL):
        found.append(
            Error(
                "TICKHUB_EMAIL_TLS is off: the mail server's password would travel in the clear.",
                hint="Use starttls or tls.",
                id="tickhub.E006",
            )
        )
    return found


def refuse_unsafe() -> None:
    """Refuse to go on with settings that production must not have.

    :raises UsageError: naming each of them
    """
    faults = check_production(None)
    if faults:
        raise UsageError(" ".join(f"{fault.msg} {fault.hint}" for fault in faults))


def durability_faults() -> list[str]:
    """Ask the running server for every setting and table that durability rests on; return what is wrong."""
    faults = []
    with connections["default"].cursor() as cursor:
        for name, wanted in DURABLE.items():
            cursor.execute("SELECT current_setting(%s)", [name])
            value = cursor.fetchone()[0]
            if value != wanted:
                faults.append(f"{name} is {value}, must be {wanted}")
        cursor.execute(
            "SELECT c.relname FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid"
            " WHERE c.relpersistence <> 'p' AND c.relkind IN ('r', 'p')"
            " AND coalesce(i.inhparent::regclass::text, c.relname) = ANY(%s)",
            [list(LOGGED_TABLES)],
        )
        faults += [f"table {row[0]} is not logged" for row in cursor.fetchall()]
    return faults


@register(Tags.database)
def check_durability(
    app_configs: Sequence[AppConfig] | None,
    databases: Sequence[str] | None = None,
    **_: Any,  # Any: Django's hook
) -> list[CheckMessage]:
    """Refuse a server that may forget what it has committed. Runs where a command asks for database checks."""
    if not databases:
        return []
    return [
        Error(f"PostgreSQL: {fault}.", hint="Change it in the server's configuration.", id="tickhub.E010")
        for fault in durability_faults()
    ]
