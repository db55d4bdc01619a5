"""Ticks given to be judged are read, and what cannot be read is told in one line with its status."""

import json

import pytest

from tickhub.api import given_ticks
from tickhub.api.given_ticks import BadInput
from tickhub.core import ticks as tick_arrays

JSON, RECORDS = "application/json", "application/octet-stream"


def read(body: bytes, content_type: str = JSON, **query: str) -> given_ticks.Given:
    return given_ticks.read(content_type=content_type, body=body, query=query)


def test_json_gives_every_field_and_what_is_left_out_is_zero() -> None:
    rows = [
        {"time_msc": 1_500, "bid": 1.1, "ask": None, "volume": 7, "flags": 6},
        {"time_msc": -1, "time": 5, "last": 2, "volume": (1 << 64) - 1, "volume_real": 0.5, "flags": (1 << 32) - 1},
    ]

    given = read(json.dumps({"symbol": "X", "ticks": rows, "poll_msc": 3}).encode())

    assert (given.instrument, given.symbol, given.poll_msc) == (None, "X", 3)
    assert given.ticks.tolist() == [
        (1, 1.1, 0.0, 0.0, 7, 1_500, 6, 7.0),
        (5, 0.0, 0.0, 2.0, (1 << 64) - 1, -1, (1 << 32) - 1, 0.5),
    ]


def test_records_are_taken_bit_for_bit() -> None:
    raw = bytes(range(120))

    given = read(raw, "Application/Octet-Stream; x=y", instrument="EURUSD", poll_msc="-5")

    assert tick_arrays.same(given.ticks, tick_arrays.from_bytes(raw))
    assert (given.instrument, given.poll_msc) == ("EURUSD", -5)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "the body is no JSON: "),
        (b"\xff\xfe\xfd", "the body is no JSON: "),
        (b"[" * 100_000, "the body is no JSON: "),
        (b"[]", "the body is no JSON object with instrument (or symbol) and ticks"),
        (b'{"ticks": []}', "expected either instrument or symbol"),
        (b'{"instrument": "X", "symbol": "X", "ticks": []}', "expected either instrument or symbol"),
        (b'{"instrument": "X\\u0000", "ticks": []}', "instrument: expected a name of 1 to 40 characters"),
        (b'{"instrument": "\\ud800", "ticks": []}', "instrument: expected a name of 1 to 40 characters"),
        (b'{"instrument": "EURUSD"}', "ticks: expected a list of objects"),
        (b'{"instrument": "EURUSD", "ticks": [], "\\ud800": 1}', "the body: '\\ud800' is not known; known: "),
        (b'{"instrument": "EURUSD", "ticks": [], "poll_msc": 1e3}', "poll_msc: expected UTC milliseconds"),
        (b'{"instrument": "EURUSD", "ticks": [7]}', "tick 0: expected an object"),
        (b'{"instrument": "EURUSD", "ticks": [{"time_msc": 1, "price": 1}]}', "tick 0: 'price' is not known"),
        (b'{"instrument": "EURUSD", "ticks": [{}]}', "tick 0: time_msc: expected a whole number from -"),
        (b'{"instrument": "EURUSD", "ticks": [{"time_msc": true}]}', "tick 0: time_msc: expected a whole number"),
        (b'{"instrument": "EURUSD", "ticks": [{"time_msc": 1, "bid": "1"}]}', "tick 0: bid: expected a number"),
        (b'{"instrument": "EURUSD", "ticks": [{"time_msc": 1, "flags": -1}]}', "tick 0: flags: expected a whole"),
        (b'{"instrument": "EURUSD", "ticks": [{"time_msc": 1, "bid": 1' + b"0" * 400 + b"}]}", "bid: a whole"),
    ],
)
def test_what_cannot_be_judged_is_told_in_one_line(body: bytes, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(body)

    assert (caught.value.status, str(caught.value)[: len(says)]) == (400, says)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "query", "says"),
    [
        (b"x" * 61, {"instrument": "EURUSD"}, "61 bytes are no whole number of records of 60 bytes"),
        (b"", {}, "expected either instrument or symbol"),
        (b"", {"instrument": "X", "poll_msc": "soon"}, "poll_msc: expected UTC milliseconds since 1970"),
        (b"", {"instrument": "X", "poll_msc": "99999999999999999"}, "poll_msc: expected UTC milliseconds since 1970"),
        (b"", {"instrument": "\0"}, "instrument: expected a name of 1 to 40 characters"),
    ],
)
def test_records_that_cannot_be_judged_are_told_in_one_line(body: bytes, query: dict[str, str], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(body, RECORDS, **query)

    assert (caught.value.status, str(caught.value)[: len(says)]) == (400, says)


def test_too_much_is_told_with_its_own_status() -> None:
    too_many = json.dumps({"instrument": "X", "ticks": [{}] * 10_001}).encode()

    for body, content_type in ((too_many, JSON), (bytes(60 * 10_001), RECORDS), (b" " * (5 << 20), JSON)):
        with pytest.raises(BadInput) as caught:
            read(body, content_type, instrument="X")
        assert caught.value.status == 413
