"""What may not leave the system is taken out of evidence; what helps stays."""

import pytest

from quality.notifying import redaction


def test_figures_and_keys_of_ticks_stay_as_they_are() -> None:
    evidence = {"first": {"time_msc": 1772452800000, "seq": 3}, "values": {"bid": "1.10001"}, "batch": 123456}

    assert redaction.redact(evidence) == evidence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("login 50123456 refused", "login … refused"),
        ("no answer from 50123456", "no answer from …"),
        ("password is hunter2", "password is …"),
        ("token=abc was refused", "token … was refused"),
        ("account 1234 is closed", "account … is closed"),
        ("is on another account than configured", "is on another account than configured"),
        ("or revoke its token if it is not to come back", "or revoke its token if it is not to come back"),
        ("three polls passed at noon", "three polls passed at noon"),
        ("Bearer abc.def is stale", "Bearer … is stale"),
        ("https://ann:pw@host/x", "https://…@host/x"),
        ("2026-03-02T12:00:00.000Z", "2026-03-02T12:00:00.000Z"),
        ("over 1000 ticks in a second", "over 1000 ticks in a second"),
    ],
)
def test_numbers_and_secrets_in_words_are_omitted(text: str, expected: str) -> None:
    assert redaction.redact_text(text) == expected


def test_long_lists_and_texts_are_cut() -> None:
    assert redaction.redact([1, 2, 3, 4, 5, 6, 7]) == [1, 2, 3, 4, 5, "and 2 more"]
    assert redaction.redact("x" * 501) == "x" * 500 + " …"
