"""Session calendars: those that come with tickhub, the rule that gives an instrument one, and changes by operators.
Sole writer of ``SessionCalendar`` and of instruments' calendars."""

import re
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from tickhub.audit import ledger as audit
from tickhub.core import calendars
from tickhub.core.calendars import Calendar
from tickhub.reference.models import Instrument, SessionCalendar

_TEXTS = ("zone", "hours", "breaks", "holidays", "rollover")
_NEW_YORK = "America/New_York"
# Holidays and early closes of the New York Stock Exchange as published; the operator goes on with the list.
_EXCHANGE_CLOSED = {
    2026: ("01-01", "01-19", "02-16", "04-03", "05-25", "06-19", "07-03", "09-07", "11-26", "12-25"),
    2027: ("01-01", "01-18", "02-15", "03-26", "05-31", "06-18", "07-05", "09-06", "11-25", "12-24"),
}
_EXCHANGE_EARLY = ("2026-11-27", "2026-12-24", "2027-11-26")


def _exchange(closes: str) -> str:
    closed = [f"{year}-{day} closed" for year, days in _EXCHANGE_CLOSED.items() for day in days]
    return "\n".join(sorted([*closed, *(f"{day} closes {closes}" for day in _EXCHANGE_EARLY)]))


# The texts of each calendar; made where they are missing, never changed here.
_FX_HOLIDAYS = "01-01 closed\n12-25 closed"
DEFAULTS: dict[str, dict[str, str]] = {
    "always": {"zone": "UTC", "hours": "Mon-Sun 00:00-24:00"},
    "fx": {"zone": _NEW_YORK, "hours": "Sun 17:00 - Fri 17:00", "holidays": _FX_HOLIDAYS, "rollover": "17:00"},
    "metals": {
        "zone": _NEW_YORK,
        "hours": "Sun 18:00 - Fri 17:00",
        "breaks": "Mon-Thu 17:00-18:00",
        "holidays": _FX_HOLIDAYS,
        "rollover": "17:00",
    },
    "us-equities": {"zone": _NEW_YORK, "hours": "Mon-Fri 09:30-16:00", "holidays": _exchange("13:00")},
    # Before and after the market's own hours; where that closes at 13:00, this does at 17:00.
    "us-equities-extended": {"zone": _NEW_YORK, "hours": "Mon-Fri 04:00-20:00", "holidays": _exchange("17:00")},
}
_CURRENCIES = (
    "USD|EUR|GBP|JPY|CHF|AUD|NZD|CAD|SEK|NOK|DKK|PLN|CZK|HUF|RON|TRY|ZAR|MXN|SGD|HKD|CNH|CNY|RUB|ILS|THB|INR|KRW|BRL"
)
_COINS = "BTC|ETH|LTC|XRP|BCH|ADA|SOL|DOT|DOGE|BNB|AVAX|LINK|XLM|TRX|XMR|DASH|EOS|UNI|ATOM|ETC|ZEC"
# Behind a pair stands nothing, or what a broker adds: ``.m``, ``c``, ``.2``.
_ENDING = r"(?![A-Z0-9]).*"
_RULES = (
    ("metals", re.compile(rf"(?:XAU|XAG|XPT|XPD)(?:{_CURRENCIES}){_ENDING}")),
    ("fx", re.compile(rf"(?:{_CURRENCIES})(?:{_CURRENCIES}){_ENDING}")),
    ("always", re.compile(rf"(?:{_COINS})(?:{_CURRENCIES}|USDT|USDC|BTC|ETH){_ENDING}")),
)


def rule(code: str) -> str | None:
    """Return the name of the calendar that an instrument's code asks for; None: its session is not known."""
    return next((name for name, pattern in _RULES if pattern.fullmatch(code)), None)


def choose(instrument: Instrument) -> None:
    """Give an instrument that nobody decided about the calendar of the rule, in the caller's transaction."""
    if instrument.calendar_by:
        return
    instrument.calendar_by = "rule"
    name = rule(instrument.code)
    if name is not None:
        instrument.calendar, _ = SessionCalendar.objects.get_or_create(name=name, defaults=DEFAULTS[name])
    instrument.save(update_fields=["calendar", "calendar_by"])


def ensure() -> None:
    """Make the calendars that come with tickhub where they are missing, in the caller's transaction."""
    known = set(SessionCalendar.objects.values_list("name", flat=True))
    for name, texts in DEFAULTS.items():
        if name not in known:
            SessionCalendar.objects.get_or_create(name=name, defaults=texts)


def read(row: SessionCalendar) -> Calendar:
    """Return the value of a calendar's row.

    :raises tickhub.core.calendars.InvalidCalendar: if its texts cannot be read
    """
    return calendars.parse(name=row.name, version=row.version, **_texts(row))


def save(row: SessionCalendar, *, actor: str) -> None:
    """Save a calendar that an operator made or changed, as its next version, with both texts in the audit ledger.

    :raises tickhub.core.calendars.InvalidCalendar: if its texts cannot be read; nothing is saved
    """
    read(row)
    with transaction.atomic():
        known = SessionCalendar.objects.select_for_update().filter(pk=row.pk).first()
        before = None if known is None else _texts(known)
        row.version = 1 if known is None else known.version + 1
        row.changed_at = Now()
        row.save()
        details: dict[str, Any] = {"version": row.version, "before": before, "after": _texts(row)}  # Any: JSON
        audit.record(actor=actor, action="CALENDAR_CHANGED", about=f"calendar {row.name}", details=details)


def assign(instrument: Instrument, *, before: int | None, actor: str) -> None:
    """Record that an operator chose an instrument's calendar, None for an unknown session, instead of that of an id."""
    with transaction.atomic():
        instrument.calendar_by = "operator"
        instrument.save(update_fields=["calendar", "calendar_by"])
        known = None if before is None else SessionCalendar.objects.get(pk=before)
        details = {"before": _name(known), "after": _name(instrument.calendar)}
        audit.record(
            actor=actor, action="INSTRUMENT_CALENDAR_CHANGED", about=f"instrument {instrument.code}", details=details
        )


def _name(row: SessionCalendar | None) -> str | None:
    return None if row is None else row.name


def _texts(row: SessionCalendar) -> dict[str, str]:
    # A form sends line ends as CR and LF.
    return {name: "\n".join(getattr(row, name).splitlines()) for name in _TEXTS}
