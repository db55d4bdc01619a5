"""Account numbers are shown by their last three digits at most."""

import pytest

from ingest.sources.account import Expected, masked


@pytest.mark.parametrize(
    ("login", "shown"), [(12_345_678, "…678"), (123_456, "…456"), (12_345, "…"), (7, "…"), (None, "none")]
)
def test_account_number_shows_its_last_three_digits_if_others_remain(login: int | None, shown: str) -> None:
    assert masked(login) == shown


def test_expectation_does_not_show_its_account_number() -> None:
    assert repr(Expected(12_345_678, "Demo", 0)) == "Expected(login=…678, server='Demo', trade_mode=0)"
