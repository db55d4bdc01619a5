"""Which calendar an instrument gets by its code alone."""

import pytest

from tickhub.core import calendars
from tickhub.reference import calendars as reference


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("EURUSD", "fx"),
        ("USDCNH", "fx"),
        ("EURUSD.m", "fx"),
        ("EURUSDc", "fx"),
        ("EURUSD.2", "fx"),
        ("XAUUSD", "metals"),
        ("XAGEUR#", "metals"),
        ("BTCUSD", "always"),
        ("ETHUSDT", "always"),
        # A share, an index, a future that only begins like a pair, a metal without a currency, another case.
        ("NVDA", None),
        ("US500", None),
        ("EURUSDZ6", None),
        ("XAU", None),
        ("eurusd", None),
        ("", None),
    ],
)
def test_the_code_tells_the_calendar_or_nothing_does(code: str, name: str | None) -> None:
    assert reference.rule(code) == name


def test_calendars_that_come_with_tickhub_can_be_read() -> None:
    read = {name: calendars.parse(name=name, **texts) for name, texts in reference.DEFAULTS.items()}

    assert [name for name, calendar in read.items() if calendar.is_always_open] == ["always"]
    assert len(read["us-equities"].holidays) == 23
