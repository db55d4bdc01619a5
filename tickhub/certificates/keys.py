"""Keys of certificates: an Ed25519 private key as PEM (PKCS #8), a public key as 64 hexadecimal digits or PEM."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tickhub.core.errors import UsageError

_HEX_DIGITS = 64


class KeyInvalid(UsageError):
    """A text is no key of a certificate."""


def generate() -> str:
    """Return a new private key as PEM."""
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def private(pem: str) -> Ed25519PrivateKey:
    """Read a private key.

    :raises KeyInvalid: if it is none; the message does not show it
    """
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyInvalid("the key of certificates is no private key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyInvalid("the key of certificates is no Ed25519 key")
    return key


def public(text: str) -> str:
    """Return a public key as 64 lower-case hexadecimal digits, given so or as PEM.

    :raises KeyInvalid: if it is none
    """
    text = text.strip()
    if len(text) == _HEX_DIGITS:
        try:
            return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text)).public_bytes_raw().hex()
        except ValueError:
            raise KeyInvalid(f"{text} is no public key: expected 64 hexadecimal digits") from None
    try:
        key = serialization.load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise KeyInvalid("no public key: expected 64 hexadecimal digits, or PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyInvalid("no public key of Ed25519")
    return key.public_bytes_raw().hex()
