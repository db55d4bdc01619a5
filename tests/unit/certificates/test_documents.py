"""Signed documents: what was signed can be read by anyone, and nothing else passes.

The independent oracle is OpenSSL's own form of a key pair of RFC 8032 (section 7.1, test 1).
"""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.certificates.bodies import KEY, body
from tickhub.certificates import document, keys
from tickhub.certificates.document import DocumentInvalid
from tickhub.certificates.keys import KeyInvalid

SECRET = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


def test_a_signed_certificate_is_read_back_with_its_key() -> None:
    read = document.read(document.sign(body(), KEY))

    assert read.body == body()
    assert read.public_key == KEY.public_key().public_bytes_raw().hex()


def test_the_public_key_is_that_of_the_rfc() -> None:
    text = document.sign(body(), Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SECRET)))

    assert document.read(text).public_key == PUBLIC == keys.public(PUBLIC.upper())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"number":1', '"number":2'),
        ('"symbol":"EURUSD"', '"symbol":"GBPUSD"'),
        ('"captured":[3', '"captured":[4'),
        ('"signature":"', '"signature":"00'),
    ],
)
def test_a_changed_certificate_does_not_pass(before: str, after: str) -> None:
    text = document.sign(body(), KEY)
    assert before in text

    with pytest.raises(DocumentInvalid):
        document.read(text.replace(before, after, 1))


def test_spaces_and_the_order_of_names_are_no_change() -> None:
    text = document.sign(body(), KEY)
    other = json.dumps(dict(reversed(json.loads(text).items())), indent=2)

    assert document.read(other).sha256 == document.read(text).sha256 == document.sha256(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "nonsense",
        '{"certificate":1,"public_key":"","signature":""}',
        '{"certificate":{"format":"other"},"public_key":"","signature":""}',
        '{"certificate":{"format":"tickhub-certificate-1"},"public_key":"00","signature":"00"}',
        '{"certificate":{"format":"tickhub-certificate-1"},"public_key":7,"signature":[]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_certificate_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        document.read(text)

    assert "\n" not in str(refused.value)


def test_a_name_that_stands_twice_is_refused() -> None:
    text = document.sign(body(), KEY)

    with pytest.raises(DocumentInvalid, match="twice"):
        document.read(text.replace('"number":1', '"number":1,"number":1', 1))


def test_a_number_with_a_fraction_is_neither_written_nor_read() -> None:
    with pytest.raises(TypeError, match=r"1\.5 is no whole number"):
        document.sign(body(number=1.5), KEY)
    with pytest.raises(DocumentInvalid, match=r"1\.0 is no whole number"):
        document.read(document.sign(body(), KEY).replace('"number":1', '"number":1.0', 1))


def test_a_key_that_is_none_is_refused_without_showing_it() -> None:
    with pytest.raises(KeyInvalid) as refused:
        keys.private("-----BEGIN SECRET-----")

    assert "SECRET" not in str(refused.value)


def test_a_generated_key_signs() -> None:
    assert document.read(document.sign(body(), keys.private(keys.generate()))).body == body()
