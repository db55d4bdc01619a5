"""What of an incident may leave the system in a message: figures of our own, and nothing that could be a secret. Pure.

Evidence holds figures of our own beside words of others (a terminal's error, a database's), in which an account
number or a password may stand in any form. So no word of others is told, whatever it looks like: only the keys listed
here are, each with values of the form that ours have. The incident itself has all of it.
"""

import re
from collections.abc import Iterable
from typing import Any

OMITTED = "…"
# Of a longer list or text no more is told.
_ITEMS_MOST, _TEXT_MOST = 5, 500
# Numbers that tickhub counts or measures itself, beside those whose name ends in a unit.
_UNIT = re.compile(r"[a-z0-9_]{1,40}_(?:ms|msc|s|us|bytes|percent)")
_FIGURES = frozenset(
    {
        "attempts",
        "backfill",
        "batch",
        "batches",
        "code",
        "correction",
        "count",
        "digits",
        "feed",
        "free",
        "high",
        "instrument_digits",
        "low",
        "minutes",
        "missing_most",
        "new_seq",
        "polls",
        "polls_before",
        "polls_ok",
        "polls_with_ticks",
        "ratio",
        "expected_ratio",
        "seq",
        "sessions",
        "time",
        "value",
        "waiting",
    }
)
# Numbers as texts, so that no digit is lost.
_PRICES = frozenset(["ask", "bid", "flags", "last", "volume", "volume_real"])
_PRICE = re.compile(r"-?\d{1,20}(?:\.\d{1,20})?(?:e[+-]?\d{1,3})?|nan|-?inf")
# Texts of a few forms: a moment, an offset from UTC, a code in capitals.
_CODES = frozenset(
    {
        "circuit",
        "epoch_ended",
        "hour",
        "last_seen",
        "likely_offset",
        "configured_offset",
        "link",
        "resumed_at",
        "state",
        "stopped_at",
        "worst",
    }
)
_CODE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?|[+-]\d\d:\d\d(?::\d\d)?|UTC|[A-Z]+(?:_[A-Z]+)*"
)
# Names that operators and exchanges give, and sentences of ours that name them.
_NAMES, _SENTENCES = frozenset(["instrument", "name", "symbol"]), frozenset(["message"])
# Of these what they hold is told by the same rules.
_PARTS = frozenset(["cached", "checks", "feeds", "first", "key", "new", "spike", "stored", "values"])
_LONG_NUMBER = re.compile(r"\d{5,}")
_OF_ADDRESS = re.compile(r"//[^/\s]*@")


def redact(evidence: dict[str, Any], *, secrets: Iterable[str] = ()) -> dict[str, Any]:  # Any: JSON
    """Return of evidence what may be told; the key ``omitted`` counts what is not, at any depth.

    ``secrets`` are texts that must not stand anywhere in it.
    """
    hidden = list(secrets)
    told, omitted = _part(evidence, hidden)
    return told | {"omitted": omitted} if omitted else told


def _part(evidence: dict[str, Any], secrets: list[str]) -> tuple[dict[str, Any], int]:  # Any: JSON
    told: dict[str, Any] = {}
    omitted = 0
    for key, value in evidence.items():
        found, more = _value(key, value, secrets)
        omitted += more
        if found is not None:
            told[key] = found
    return told, omitted


def _value(key: str, value: Any, secrets: list[str]) -> tuple[Any, int]:  # Any: JSON
    """Return what may be told of a value, None where nothing may, and how much is omitted."""
    if isinstance(value, list):
        pairs = [_value(key, item, secrets) for item in value[:_ITEMS_MOST]]
        found = [item for item, _ in pairs if item is not None]
        return found or None, sum(more for _, more in pairs) + len(value[_ITEMS_MOST:])
    if isinstance(value, dict):
        if key == "checks":
            # Flags by name, with the milliseconds that each took.
            value = {f"{name.lower()}_ms": took for name, took in value.items() if _CODE.fullmatch(name)}
        if key not in _PARTS:
            return None, 1
        told, omitted = _part(value, secrets)
        return told or None, omitted
    if value is None:
        return None, 0
    if _is_ours(key, value):
        return value, 0
    if isinstance(value, str) and key in _NAMES | _SENTENCES:
        return redact_text(value, secrets=secrets), 0
    return None, 1


def _is_ours(key: str, value: object) -> bool:
    """Return whether a value is a figure, a moment or a code of our own, by its key and its form."""
    match value:
        case bool():
            return False
        case int() | float():
            return key in _FIGURES | _PRICES or _UNIT.fullmatch(key) is not None
        case str():
            form = _PRICE if key in _PRICES else _CODE if key in _CODES else None
            return form is not None and form.fullmatch(value) is not None
    return False


def redact_text(text: str, *, secrets: Iterable[str] = ()) -> str:
    """Return a text of our own, or a name, without long numbers, users of addresses and known secrets, and cut."""
    for secret in secrets:
        text = text.replace(secret, OMITTED)
    text = _LONG_NUMBER.sub(OMITTED, _OF_ADDRESS.sub(f"//{OMITTED}@", text))
    return text if len(text) <= _TEXT_MOST else f"{text[:_TEXT_MOST]} {OMITTED}"
