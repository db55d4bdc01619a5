"""The key of a tick is read from an address, and what is none is told by its parameter and value."""

import pytest

from tickhub.api.keys import BadKey, TickKey


def test_a_key_is_read_and_its_seq_is_zero_where_it_is_not_given() -> None:
    assert TickKey.read({"feed": "7", "time_msc": "-5", "seq": "32767"}) == TickKey(7, -5, 32_767)
    assert TickKey.read({"feed": "7", "time_msc": "2026-03-02T12:00:00.005Z"}) == TickKey(7, 1_772_452_800_005, 0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "feed=: expected a whole number from 1 to 32767"),
        ({"feed": "99999", "time_msc": "1"}, "feed=99999: expected a whole number from 1 to 32767"),
        ({"feed": "x" * 50}, f"feed={'x' * 40}: expected a whole number from 1 to 32767"),
        ({"feed": "\u0661"}, "feed=\u0661: expected a whole number from 1 to 32767"),
        ({"feed": "1"}, "time_msc=: expected UTC milliseconds since 1970, or ISO 8601"),
        (
            {"feed": "1", "time_msc": "9223372036854775808"},
            "time_msc=9223372036854775808: expected UTC milliseconds since 1970, or ISO 8601",
        ),
        ({"feed": "1", "time_msc": "--1"}, "time_msc=--1: expected UTC milliseconds since 1970, or ISO 8601"),
        ({"feed": "1", "time_msc": "1", "seq": "1.5"}, "seq=1.5: expected a whole number from 0 to 32767"),
    ],
)
def test_what_is_no_key_is_told(given: dict[str, str], says: str) -> None:
    with pytest.raises(BadKey) as caught:
        TickKey.read(given)

    assert str(caught.value) == says
