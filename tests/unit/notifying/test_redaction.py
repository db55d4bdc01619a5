"""Of evidence only figures of our own leave the system; words of others never do, in whatever form."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.notifying import redaction

# One as a number, and one in each of the forms in which such words have been seen.
SECRETS = ("50123456", "hunter2x", "dXNlcjpwYXNz", "abcdEFGH9", "my pass phrase")
WORDS = [
    "terminal answered {'login': 50123456, 'password': 'hunter2x'}",
    '{"password": "hunter2x", "token": "abcdEFGH9"}',
    "Authorization: Basic dXNlcjpwYXNz",
    "GET https://h/hook?access_token=abcdEFGH9 failed",
    "client_secret=abcdEFGH9 x-api-key: abcdEFGH9 auth_token abcdEFGH9",
    "password for 'ops' is hunter2x",
    "password = 'my pass phrase'",
    "mt5:50123456",
    "50123456@Broker-Live",
    "server=Broker;login=50123456;pass=hunter2x;",
    "postgres://u:hunter2x@ss@host/db x",
    "50123456",
    "hunter2x",
]
KEYS = [
    "first",
    "values",
    "text",
    "error",
    "reason",
    "why",
    "login",
    "code_of_login",
    "batch",
    "state",
    "hour",
    "changed",
    "feeds",
    "checks",
    "stations",
    "50123456",
    "hunter2x",
    "link",
    "spike",
    "count",
]


def test_figures_and_keys_of_ticks_stay_as_they_are() -> None:
    evidence = {
        "first": {"time_msc": 1772452800000, "seq": 3},
        "values": {"bid": "1.10001", "ask": "nan", "last": "0.0"},
        "batch": 123456789,
        "free_bytes": 7,
        "ratio": 0.9312,
        "hour": "2026-03-02T12:00:00.000Z",
        "likely_offset": "+03:00",
        "link": "IPC_LOST",
        "worst": ["2026-03-01T22:00:00.000Z", "2026-03-02T22:00:00.000Z"],
        "symbol": "EURUSD",
    }

    assert redaction.redact(evidence) == evidence


def test_what_is_not_told_is_counted() -> None:
    evidence = {"code": -10004, "text": "no answer", "feeds": [{"symbol": "EURUSD", "why": "lost"}], "more": {"a": 1}}

    assert redaction.redact(evidence) == {"code": -10004, "feeds": [{"symbol": "EURUSD"}], "omitted": 3}


def test_the_checks_left_out_of_a_batch_are_told_with_their_times() -> None:
    told = redaction.redact({"checks": {"CROSSED": 2100, "LOCKED": None, "50123456": 1}})

    assert told == {"checks": {"crossed_ms": 2100}}


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("key", KEYS)
def test_words_of_others_are_not_told_under_any_key(key: str, words: str) -> None:
    for evidence in ({key: words}, {key: {key: words}}, {key: [words, {key: words}]}, {"first": {key: words}}):
        told = json.dumps(redaction.redact(evidence))
        assert [secret for secret in SECRETS if secret in told.replace(f'"{key}"', "")] == []


NESTED = st.recursive(
    st.one_of(st.sampled_from(WORDS), st.just(50123456), st.just("50123456"), st.none(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)),
    max_leaves=8,
)


@given(evidence=st.dictionaries(st.sampled_from([*WORDS, "text", "login", "first", "changed"]), NESTED, max_size=4))
def test_no_secret_is_told_however_deep_it_lies(evidence: dict[str, Any]) -> None:
    told = json.dumps(redaction.redact(evidence))

    assert [secret for secret in SECRETS if secret in told] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("desk1", "desk1"),
        ("mt5:50123456", "mt5:…"),
        ("50123456@Broker-Live", "…@Broker-Live"),
        ("postgres://u:p@ss@host/db", "postgres://…@host/db"),
        ("run `manage.py correct_clock --source desk1`", "run `manage.py correct_clock --source desk1`"),
    ],
)
def test_names_lose_long_numbers_and_users_of_addresses(name: str, expected: str) -> None:
    assert redaction.redact_text(name) == expected
    assert redaction.redact({"name": name}) == {"name": expected}


def test_known_secrets_stand_in_no_text() -> None:
    assert redaction.redact({"name": "desk of s3cret"}, secrets=["s3cret"]) == {"name": "desk of …"}


def test_long_lists_and_texts_are_cut() -> None:
    assert redaction.redact({"hour_ms": [1, 2, 3, 4, 5, 6, 7]}) == {"hour_ms": [1, 2, 3, 4, 5], "omitted": 2}
    assert redaction.redact_text("x" * 501) == "x" * 500 + " …"
