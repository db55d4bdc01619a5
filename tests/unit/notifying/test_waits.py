"""Waits between attempts, and the signature of what is posted."""

import pytest

from quality.notifying import deliveries, sending


@pytest.mark.parametrize(
    ("attempts", "most_s"), [(1, 10), (2, 20), (3, 40), (9, 2_560), (10, 3_600), (11, 3_600), (10_000, 3_600)]
)
def test_the_longest_wait_doubles_from_ten_seconds_to_an_hour(attempts: int, most_s: int) -> None:
    assert deliveries.longest_wait_s(attempts) == most_s


def test_the_signature_is_the_hmac_of_the_body() -> None:
    # RFC 4231, test case 2.
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

    assert sending.signature(b"what do ya want for nothing?", key="Jefe") == expected
