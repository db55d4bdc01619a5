"""Given ticks judged over REST: the pipeline's flags, nothing stored, and an answer to whatever bytes come."""

import json
from typing import Any

import numpy as np
import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from ingest.models import Batch
from quality.models import Finding, QuarantinedTick
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import make_rig
from tests.piping import capture, stored
from tickhub import pipeline
from tickhub.core import flags
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import TICK_DTYPE
from tickhub.reference.models import Feed, Instrument

pytestmark = pytest.mark.usefixtures("database")

ADDRESS = "/api/v1/quality/validate/"
RECORDS = "application/octet-stream"


def ask(
    body: bytes, content_type: str = "application/json", query: str = ""
) -> tuple[int, dict[str, Any]]:  # Any: JSON
    client = Client(raise_request_exception=False)
    # Said once more: without a body the test's client says nothing of its type.
    response = client.post(f"{ADDRESS}{query}", body, content_type=content_type, CONTENT_TYPE=content_type)
    return response.status_code, dict(response.json())


def ask_json(**body: Any) -> tuple[int, dict[str, Any]]:  # Any: JSON
    return ask(json.dumps(body).encode())


def test_each_tick_is_answered_with_its_flags_and_what_they_say() -> None:
    make_rig("EURUSD")
    ticks = [
        {"time_msc": NOON_MSC, "bid": 1.1, "ask": 1.2},
        {"time_msc": NOON_MSC + 1, "bid": 1.3, "ask": 1.2},
        {"time_msc": NOON_MSC + 2, "bid": -1.1, "ask": None},
        {"time_msc": NOON_MSC + 5_000, "bid": float("nan"), "ask": 1.2},
    ]

    status, found = ask_json(instrument="EURUSD", poll_msc=NOON_MSC, ticks=ticks)

    assert status == 200
    assert found == {
        "instrument": "EURUSD",
        "poll_msc": NOON_MSC,
        "count": 4,
        "held": 2,
        "flagged": 3,
        "flags": {"NOT_FINITE": 1, "NEGATIVE": 1, "NO_ASK": 1, "CROSSED": 1, "FUTURE": 1},
        "ticks": [
            {"flags": [], "reasons": [], "is_held": False},
            {"flags": ["CROSSED"], "reasons": ["bid is above ask"], "is_held": False},
            {
                "flags": ["NEGATIVE", "NO_ASK"],
                "reasons": ["a price is below zero, which this instrument does not have", "ask is 0"],
                "is_held": True,
            },
            {
                "flags": ["NOT_FINITE", "FUTURE"],
                "reasons": [
                    "bid, ask, last or volume_real is NaN or infinite",
                    "it is later than the terminal's time of the poll",
                ],
                "is_held": True,
            },
        ],
    }


def test_records_get_the_flags_that_the_pipeline_gives_them() -> None:
    rig = make_rig("EURUSD")
    shown = make_ticks([(n, 1.1, 1.2 + (n == 50)) for n in range(60)] + [(60, 1.3, 1.2), (61, 0, 1.2), (61, 0, 1.2)])
    pipeline.process(batch_id=capture(rig, shown))
    poll_msc = Batch.objects.get().poll_msc

    status, found = ask(shown.tobytes(), RECORDS, f"?symbol=EURUSD&poll_msc={poll_msc}")

    assert status == 200
    assert [tick["flags"] for tick in found["ticks"]] == [
        list(flags.names(quality)) for quality in stored(rig).quality.tolist()
    ]
    assert found["flags"].keys() >= {"SPREAD_OUTLIER", "CROSSED", "NO_BID", "REPEAT"}


def test_nothing_is_stored() -> None:
    make_rig("EURUSD")

    ask_json(instrument="EURUSD", ticks=[{"time_msc": NOON_MSC, "bid": -1, "ask": 1.2}])

    assert [model.objects.count() for model in (Batch, Finding, QuarantinedTick)] == [0, 0, 0]


def test_no_tick_is_answered_with_none() -> None:
    make_rig("EURUSD")

    assert ask_json(instrument="EURUSD", ticks=[])[1]["ticks"] == []
    assert ask(b"", RECORDS, "?instrument=EURUSD")[1]["count"] == 0


def test_ten_thousand_ticks_are_judged_and_one_more_is_too_many() -> None:
    make_rig("EURUSD")
    ticks = np.zeros(10_001, dtype=TICK_DTYPE)

    assert ask(ticks[:-1].tobytes(), RECORDS, "?instrument=EURUSD")[0] == 200
    assert ask(ticks.tobytes(), RECORDS, "?instrument=EURUSD") == (
        413,
        {"detail": "10001 ticks, at most 10000 are judged at once"},
    )
    assert ask_json(instrument="EURUSD", ticks=[{}] * 10_001)[0] == 413
    assert ask(b" " * (5 << 20)) == (413, {"detail": "the body has over 4194304 bytes"})


def test_what_the_checks_may_see_is_what_the_settings_say(settings: Settings) -> None:
    make_rig("EURUSD")
    settings.EARLIEST_MSC = NOON_MSC + 1

    _, found = ask_json(instrument="EURUSD", ticks=[{"time_msc": NOON_MSC, "bid": 1.1, "ask": 1.2}])

    assert found["ticks"][0]["flags"] == ["IMPLAUSIBLE_DAY"]


def test_what_is_not_known_and_what_cannot_be_read_are_one_line_each() -> None:
    make_rig("EURUSD")

    assert [
        ask(b"{"),
        ask_json(instrument="XAUUSD", ticks=[]),
        ask_json(symbol="XAUUSD", ticks=[]),
        ask(b"", "text/html; charset=utf-8"),
    ] == [
        (
            400,
            {
                "detail": "the body is no JSON: "
                "'Expecting property name enclosed in double quotes: line 1 column 2 (char 1)'"
            },
        ),
        (404, {"detail": "instrument XAUUSD is not known"}),
        (404, {"detail": "symbol XAUUSD is not known"}),
        (415, {"detail": "content type 'text/html': expected application/json or application/octet-stream"}),
    ]


def test_a_symbol_of_several_instruments_has_to_be_named_by_one() -> None:
    make_rig("EURUSD")
    gold = Instrument.objects.create(code="GOLD", digits=2)
    Feed.objects.create(
        source=make_rig("GBPUSD", name="other").feeds["GBPUSD"].source, instrument=gold, symbol="EURUSD", begins_msc=0
    )

    assert ask_json(symbol="EURUSD", ticks=[]) == (
        400,
        {"detail": "symbol EURUSD is of several instruments, name one: EURUSD, GOLD"},
    )


NUMBERS = st.one_of(st.floats(), st.integers(), st.none(), st.booleans(), st.text(max_size=3))
TICKS = st.dictionaries(st.sampled_from(TICK_DTYPE.names or ()), NUMBERS, max_size=8)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner)).map(
        lambda value: json.dumps(value).encode()
    ),
    st.lists(TICKS, max_size=5).map(lambda rows: json.dumps({"instrument": "EURUSD", "ticks": rows}).encode()),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_any_json_or_other_bytes_are_answered(registered: None, body: bytes) -> None:
    assert ask(body)[0] in {200, 400, 404}


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=60 * 8), poll_msc=st.integers(-(1 << 70), 1 << 70), is_whole=st.booleans())
def test_any_records_are_answered(registered: None, raw: bytes, poll_msc: int, is_whole: bool) -> None:
    body = raw[: len(raw) // 60 * 60] if is_whole else raw

    status, answer = ask(body, RECORDS, f"?instrument=EURUSD&poll_msc={poll_msc}")

    assert status in {200, 400}
    if status == 200:
        assert len(answer["ticks"]) == len(tick_arrays.from_bytes(body))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(min_size=60, max_size=60 * 70))
def test_any_whole_records_are_judged(registered: None, raw: bytes) -> None:
    body = raw[: len(raw) // 60 * 60]

    status, answer = ask(body, RECORDS, "?instrument=EURUSD")

    assert (status, answer["count"]) == (200, len(body) // 60)


@pytest.fixture
def registered(database: None) -> None:
    make_rig("EURUSD")
