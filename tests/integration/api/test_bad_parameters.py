"""Whatever stands in a parameter of whatever address, it is refused in one line that names it, never with a 500."""

import json
from urllib.parse import quote

import pytest
from django.test import Client

from tests.builders import NOON_MSC
from tests.capturing import make_rig

pytestmark = pytest.mark.usefixtures("database")

API = "/api/v1/"
# One for all: each loads every file of the web anew.
CLIENT = Client(raise_request_exception=False)
# Each address with every parameter that it takes, given well.
ADDRESSES = {
    "quality/gaps/": {"instrument": "EURUSD", "start": "2026-03-02", "end": "2026-03-03", "parts": "hour"},
    "quality/scores/": {"instrument": "EURUSD", "start": "2026-03-02", "end": "2026-03-03"},
    "quality/certificates/": {
        "instrument": "EURUSD",
        "source": "hand",
        "start": "2026-03-02",
        "end": "2026-03-03",
        "after": "0",
        "form": "documents",
    },
    "ticks/latest/": {"instruments": "EURUSD"},
    "ticks/locate/": {"feed": "1", "time_msc": str(NOON_MSC), "seq": "0"},
}
BAD = [
    "",
    "%00",
    "EURUSD%00",
    # Half a surrogate pair, and bytes that are no text.
    "%ED%A0%80",
    "%ff%fe",
    "%0a",
    "%E2%80%8B",
    "-1",
    "-99999999999999999999999999",
    "99999999999999999999999999",
    "1e400",
    "9" * 5_000,
    "%D9%A1" * 13,
    "x" * 501,
    "0001-01-01T00:00:00%2B23:59",
    "9999-12-31T23:59:59-23:59",
    "1969-12-31T23:59:59Z",
    "2101-01-01",
]


def ask(address: str, query: dict[str, str], *more: str) -> tuple[int, str]:
    """Return status and detail; the values stand in the address as they are."""
    joined = "&".join([*(f"{name}={value}" for name, value in query.items()), *more])
    answer = CLIENT.get(f"{API}{address}?{joined}")
    is_json = answer.headers["Content-Type"] == "application/json"
    return answer.status_code, str(answer.json().get("detail", "")) if is_json and answer.status_code != 200 else ""


def is_refusal(answer: tuple[int, str], name: str) -> bool:
    status, detail = answer
    return status in (400, 404) and name in detail and "\n" not in detail and len(detail) < 700


def test_every_address_is_answered_where_everything_is_given_well() -> None:
    feed = make_rig("EURUSD").feeds["EURUSD"]

    found = {
        address: ask(address, query | ({"feed": "x"} if "feed" in query else {}))[0]
        for address, query in ADDRESSES.items()
    }

    # Nothing was captured, so that there is no tick to be found; a good key is tried elsewhere.
    assert feed.symbol == "EURUSD"
    assert found.pop("ticks/locate/") == 400
    assert set(found.values()) == {200}


def test_a_bad_value_is_refused_with_its_name() -> None:
    make_rig("EURUSD")
    # A key of any time may have been captured, and is only not found.
    times = {
        "time_msc": (
            "-1",
            "0001-01-01T00:00:00%2B23:59",
            "9999-12-31T23:59:59-23:59",
            "2101-01-01",
            "1969-12-31T23:59:59Z",
        )
    }

    wrong = [
        (address, name, value[:40], answer)
        for address, query in ADDRESSES.items()
        for name in query
        for value in BAD
        if not is_refusal(answer := ask(address, query | {name: value}), "" if value in times.get(name, ()) else name)
    ]

    assert wrong == []


def test_a_megabyte_is_refused_with_its_name() -> None:
    found = ask("quality/certificates/", {"instrument": "x" * 1_000_000})

    assert found == (400, "instrument: 1000000 characters, at most 10000 are read")


def test_a_parameter_that_is_given_twice_is_refused_with_its_name() -> None:
    make_rig("EURUSD")

    wrong = [
        (address, name, answer)
        for address, query in ADDRESSES.items()
        for name, value in query.items()
        if (answer := ask(address, query, f"{name}={value}")) != (400, f"{name}: given 2 times, expected once")
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("instrument=EURUSD&start=2026-03-01&end=2026-03-09", "expected one of at most 7 days"),
        ("instrument=EURUSD&start=2100-12-31", "expected one of at most 7 days"),
        ("instrument=EURUSD&end=2101-01-01", "end=2101-01-01: expected ISO 8601 like"),
        ("%01=1", r"\x01: '\x01' holds a character that cannot be printed"),
        (f"instrument={'x' * 501}", "instrument: 501 characters, at most 500 are read"),
        ("instrument=a%00b", r"instrument: 'a\x00b' holds a character that cannot be printed"),
    ],
)
def test_a_refusal_says_what_is_expected(query: str, detail: str) -> None:
    make_rig("EURUSD")

    answer = CLIENT.get(f"{API}quality/scores/?{query}")

    assert answer.status_code == 400
    assert detail in answer.json()["detail"]


def test_scores_name_the_hours_that_they_are_of() -> None:
    make_rig("EURUSD")

    answer = CLIENT.get(
        f"{API}quality/scores/?instrument=EURUSD&start=2026-03-02T12:30:00Z&end=2026-03-02T13:10"
    ).json()

    assert (answer["start"], answer["end"]) == ("2026-03-02T12:00:00.000Z", "2026-03-02T14:00:00.000Z")


@pytest.mark.parametrize("number", ["99999999999999999999999999999", "9223372036854775808", "0"])
def test_a_certificate_of_an_impossible_number_is_not_known(number: str) -> None:
    assert CLIENT.get(f"{API}quality/certificates/{number}/").status_code == 404


def test_many_unknown_instruments_are_told_shortly() -> None:
    make_rig("EURUSD")

    status, detail = ask("ticks/latest/", {"instruments": ",".join(f"X{number}" for number in range(900))})

    assert (status, detail.endswith("X8, X9 and 890 more")) == (404, True)
    assert ask("ticks/latest/", {"instruments": ","})[0] == 400


@pytest.mark.parametrize("name", ["instrument", "symbol", "poll_msc"])
def test_records_to_judge_are_refused_with_the_name_of_a_bad_parameter(name: str) -> None:
    make_rig("EURUSD")
    address = f"{API}quality/validate/"
    other = "" if name == "instrument" else "&symbol=EURUSD" if name == "poll_msc" else ""

    wrong = []
    # A poll may have been at any time.
    for value in {*BAD, f"1&{name}=2"} - ({"-1"} if name == "poll_msc" else set()):
        answer = CLIENT.post(f"{address}?{name}={value}{other}", bytes(60), content_type="application/octet-stream")
        if not is_refusal((answer.status_code, answer.json()["detail"]), name):
            wrong.append((value[:40], answer.status_code, answer.json()["detail"][:200]))

    assert wrong == []


def test_json_to_judge_is_refused_with_the_name_of_a_bad_field() -> None:
    make_rig("EURUSD")
    tick: dict[str, object] = {"time_msc": NOON_MSC}
    values: list[object] = ["\0", "\ud800", "x" * 100_000, 10**30, -(10**30), [], {}, True, ""]

    wrong = []
    for name in ("instrument", "symbol", "poll_msc", "ticks"):
        for value in values:
            # No ticks are ticks; there is only nothing to judge.
            body = ({} if name == "symbol" else {"instrument": "EURUSD"}) | {"ticks": [tick], name: value}
            wrong += refused(body, name) if (name, value) != ("ticks", []) else []
    for name in ("time_msc", "bid", "ask", "last", "volume", "flags", "volume_real", "time"):
        for value in [*values, 10**400]:
            # A price may be any number that a double holds.
            if type(value) is not int or name in ("time_msc", "volume", "flags", "time") or abs(value) > 10**308:
                wrong += refused({"instrument": "EURUSD", "ticks": [tick | {name: value}]}, name)

    assert wrong == []


def refused(body: dict[str, object], name: str) -> list[tuple[str, int, str]]:
    """Return what is wrong with the answer to a body that is to be refused."""
    answer = CLIENT.post(f"{API}quality/validate/", json.dumps(body), content_type="application/json")
    detail = answer.json().get("detail", "") if answer.status_code != 500 else ""
    is_good = is_refusal((answer.status_code, detail), name)
    return [] if is_good else [(quote(json.dumps(body)[:80]), answer.status_code, detail[:200])]
