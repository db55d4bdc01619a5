"""Takes out of evidence what may not leave the system: account numbers, passwords, tokens. Pure.

Evidence is figures of our own beside words of others (a terminal's error, a database's). What a key names as secret is
left out whatever it holds; in words of others every long number is, as it may be an account's.
"""

import re
from collections.abc import Iterable
from typing import Any

OMITTED = "…"
# Of a longer list or text no more is told: the incident itself has all of it.
_ITEMS_MOST, _TEXT_MOST = 5, 500
_SECRET_KEY = re.compile(r"passw|pwd|token|secret|login|account|credential|api_?key|authorization", re.IGNORECASE)
# What follows these words is hidden: always, where it looks like a value, or where it is a number.
_PASSWORD = re.compile(r"\b(passw\w*|pwd|bearer)\b(\s*(?:[=:]|is)?\s*)\S+", re.IGNORECASE)
_TOKEN = re.compile(
    r"\b(token|secret|credentials?|api_?key|authorization)\b(\s*[=:]\s*\S+|\s+(?=\S*\d)\S+)", re.IGNORECASE
)
_ACCOUNT = re.compile(r"\b(login|account)(\W{0,3})\d+", re.IGNORECASE)
_OF_ADDRESS = re.compile(r"//[^/\s@]+@")
_LONG_NUMBER = re.compile(r"\d{5,}")


def redact(value: Any, *, secrets: Iterable[str] = ()) -> Any:  # Any: JSON
    """Return JSON without what may be secret; ``secrets`` are texts that must not stand anywhere in it."""
    match value:
        case dict():
            return {
                str(key): OMITTED if _SECRET_KEY.search(str(key)) else redact(item, secrets=secrets)
                for key, item in value.items()
            }
        case list():
            found = [redact(item, secrets=secrets) for item in value[:_ITEMS_MOST]]
            return found if len(value) <= _ITEMS_MOST else [*found, f"and {len(value) - _ITEMS_MOST} more"]
        case str():
            return redact_text(value, secrets=secrets)
    return value


def redact_text(text: str, *, secrets: Iterable[str] = ()) -> str:
    """Return a text without what may be secret, cut to what a message bears."""
    for secret in secrets:
        text = text.replace(secret, OMITTED)
    text = _OF_ADDRESS.sub(f"//{OMITTED}@", text)
    text = _PASSWORD.sub(rf"\1\2{OMITTED}", text)
    text = _TOKEN.sub(rf"\1 {OMITTED}", text)
    text = _ACCOUNT.sub(rf"\1\2{OMITTED}", text)
    # Without a blank it is a figure of our own, as a price or a time is.
    if " " in text.strip():
        text = _LONG_NUMBER.sub(OMITTED, text)
    return text if len(text) <= _TEXT_MOST else f"{text[:_TEXT_MOST]} {OMITTED}"
