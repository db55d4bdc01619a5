"""Takes out of a text what may not leave the system: account numbers, passwords, tokens. Pure.

For names and words of our own, which may hold such a thing by accident. No pattern knows every secret: words of others
are not told at all, see :mod:`quality.notifying.evidence`.
"""

import html
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote

OMITTED = "…"
_TEXT_MOST = 500
# What is longer, or was encoded more often, is no name and no word of ours.
_READ_MOST, _ENCODED_MOST = 2_000, 3

_ESCAPED = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
# Up to the last @ of a word, or of an address with blanks in it.
_BEFORE_AT = re.compile(r"(//)[^/?#]*@|\S*@")
_NAMING = r"(?:passw\w*|pass(?:phrase|code)?|pwd|pw|pin|bearer|basic|[\w-]*(?:secret|token|credential|auth\w*|key)s?)"
# What is said to follow is hidden with all behind it: a passphrase has blanks.
_GIVEN = re.compile(rf"\b({_NAMING}\b[\s\"'`\])]*(?:[=:]|\bis\b)).*", re.IGNORECASE | re.DOTALL)
_PASSWORD = re.compile(r"\b(passw\w*|passphrase|passcode|pwd|bearer|basic)\b\s.*", re.IGNORECASE | re.DOTALL)
# Beside other words these are told, as in "revoke its token": what looks like no word is hidden.
_TOKEN = re.compile(r"\b([\w-]*(?:secret|token|credential|key)s?)\s+(?=\S*[\d\"'`])\S+", re.IGNORECASE)
_ACCOUNT = re.compile(r"(login|account|acct|konto|investor|user)([\W_]{0,3})\d+", re.IGNORECASE)
# Digits with little between them are one number, however they are grouped.
_LONG_NUMBER = re.compile(r"\d(?:[\W_]{0,3}\d){4,}")
_ENCODED = re.compile(r"(?=[A-Za-z+=]*\d)[A-Za-z\d+=]{20,}")


def redact_text(text: str, *, secrets: Iterable[str] = ()) -> str:
    """Return a text without what may be secret, on one line, decoded, cut to what a message bears.

    ``secrets`` are texts that must not stand anywhere in it.
    """
    plain = _plain(text)
    if plain is None:
        return OMITTED
    for secret in secrets:
        plain = plain.replace(_plain(secret) or secret, OMITTED)
    plain = _BEFORE_AT.sub(rf"\1{OMITTED}@", plain)
    plain = _GIVEN.sub(rf"\1 {OMITTED}", plain)
    plain = _PASSWORD.sub(rf"\1 {OMITTED}", plain)
    plain = _TOKEN.sub(rf"\1 {OMITTED}", plain)
    plain = _LONG_NUMBER.sub(OMITTED, plain)
    plain = _ACCOUNT.sub(rf"\1\2{OMITTED}", plain)
    plain = _ENCODED.sub(OMITTED, plain)
    return plain if len(plain) <= _TEXT_MOST else f"{plain[:_TEXT_MOST]} {OMITTED}"


def _plain(text: str) -> str | None:
    """Return a text as a person reads it, whatever it was encoded in; None if it is too long or encoded too often."""
    if len(text) > _READ_MOST:
        return None
    for _ in range(_ENCODED_MOST):
        decoded = _decoded(text)
        if decoded == text:
            return text
        text = decoded
    return text if _decoded(text) == text else None


def _decoded(text: str) -> str:
    text = html.unescape(unquote(text))
    text = _ESCAPED.sub(lambda found: chr(int(found[1] or found[2], 16)), text)
    # Digits of other scripts become ours, or stay digits; marks and invisible characters would stand between them.
    return " ".join("".join(_visible(char) for char in unicodedata.normalize("NFKC", text)).split())


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    return "" if category[0] in "CM" else char
