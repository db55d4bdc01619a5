"""The signed document: one JSON object of the certificate, the public key and an Ed25519 signature (RFC 8032).

What is signed is the certificate's canonical form: UTF-8 JSON with sorted keys, no spaces, whole numbers only. What the
next certificate of a feed refers to is the SHA-256 of the whole document's canonical form, signature included.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tickhub.core.errors import UsageError

FORMAT = "tickhub-certificate-1"
_KEYS = {"certificate", "public_key", "signature"}

Body = dict[str, Any]  # Any: JSON


class DocumentInvalid(UsageError):
    """A document is no certificate, or says what its key has not signed."""


@dataclass(frozen=True, slots=True)
class Document:
    """A certificate whose signature fits its own public key; whether that key is trusted is for the reader to say."""

    body: Body
    public_key: str
    sha256: str


def canonical(value: object) -> bytes:
    """Return the one way to write a JSON value.

    :raises TypeError: if it holds a number with a fraction, which two writers may write differently
    """
    _refuse_fractions(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sign(body: Body, key: Ed25519PrivateKey) -> str:
    """Return the signed document as text, in canonical form."""
    signed = {
        "certificate": body,
        "public_key": key.public_key().public_bytes_raw().hex(),
        "signature": key.sign(canonical(body)).hex(),
    }
    return canonical(signed).decode()


def sha256(text: str) -> str:
    """Return what the next certificate refers to, for a document in canonical form."""
    return hashlib.sha256(text.encode()).hexdigest()


def read(text: str) -> Document:
    """Read a document and check its signature against the key that it names.

    :raises DocumentInvalid: if it is no certificate, or its signature does not fit
    """
    try:
        value = json.loads(text, parse_float=_no_fraction, parse_constant=_no_fraction, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise DocumentInvalid(f"no JSON of a certificate: {error}") from error
    if not isinstance(value, dict) or value.keys() != _KEYS:
        raise DocumentInvalid(f"no certificate: expected an object of {', '.join(sorted(_KEYS))}")
    body = value["certificate"]
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        found = body.get("format") if isinstance(body, dict) else None
        raise DocumentInvalid(f"no certificate of a known format: expected {FORMAT}, was {found}")
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(value["public_key"]))
        key.verify(bytes.fromhex(value["signature"]), canonical(body))
    except InvalidSignature:
        raise DocumentInvalid("the signature does not fit: the certificate was changed, or signed by another") from None
    except (TypeError, ValueError) as error:
        raise DocumentInvalid(f"key or signature cannot be read: {error}") from error
    return Document(body, value["public_key"], hashlib.sha256(canonical(value)).hexdigest())


def _no_fraction(text: str) -> object:
    msg = f"{text} is no whole number"
    raise ValueError(msg)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:  # Any: JSON
    """Refuse a key that stands twice: two readers may take different values of it."""
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "a key stands twice in one object"
        raise ValueError(msg)
    return found


def _refuse_fractions(value: object) -> None:
    if isinstance(value, float):
        msg = f"{value} is no whole number"
        raise TypeError(msg)
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                msg = f"{key!r} is no name"
                raise TypeError(msg)
            _refuse_fractions(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_fractions(inner)
