"""Of evidence leaves the system what is named for its cause, of the kind that is named, and nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.notifying import evidence

ROOT = Path(__file__).resolve().parents[3]
ACCOUNT = 50123456
PLANTED = st.sampled_from([ACCOUNT, str(ACCOUNT), f"mt5:{ACCOUNT}", f"{ACCOUNT}@Broker", {"login": ACCOUNT}, [ACCOUNT]])
# What stands in evidence, or may one day.
KEYS = st.sampled_from(
    ["error", "text", "reason", "why", "shown", "is", "x", str(ACCOUNT), "name", "message", "symbol"]
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(  # Any: JSON
    PLANTED, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


def test_what_is_named_is_told_as_it_is() -> None:
    crossed = {
        "first": {"time_msc": 1772452800000, "seq": 3},
        "values": {"bid": "1.10001", "ask": "1e-07", "last": "nan"},
        "batch": 123456,
    }
    away = {"name": "agent:desk1", "last_seen": "2026-03-02T12:00:00.000Z", "away_s": 100_000, "message": "start it"}

    assert evidence.told("CROSSED", crossed) == crossed
    assert evidence.told("AGENT_AWAY", away) == away


def test_what_is_not_named_is_counted_and_not_told() -> None:
    found = evidence.told("READ_FAILED", {"code": -6, "text": "login 50123456 failed", "batch": 8, "50123456": 1})

    assert found == {"code": -6, "batch": 8, "left_out": 2}


def test_of_a_cause_that_is_not_known_nothing_is_told() -> None:
    assert evidence.told("NEW_CAUSE", {"batch": 8, "expected": ACCOUNT}) == {"left_out": 2}


def test_another_kind_of_value_than_is_named_is_not_told() -> None:
    found = evidence.told(
        "WRONG_ACCOUNT", {"polls": "x", "name": ACCOUNT, "link": "50123456", "ratio": {"login": ACCOUNT}, "hung_ms": []}
    )

    assert found == {"polls": "…", "name": "…", "link": "…", "ratio": "…", "hung_ms": "…"}


def test_objects_and_lists_within_hold_what_is_named_only() -> None:
    left = {"symbol": "EURUSD", "from_msc": 1772452800000, "why": "login 50123456 failed", "backfill": 3}

    found = evidence.told("EPOCH_UNREAD", {"epoch_ended": "2026-03-02T12:00:00Z", "feeds": 7 * [left]})

    told = {"symbol": "EURUSD", "from_msc": 1772452800000, "backfill": 3, "left_out": 1}
    assert found == {"epoch_ended": "2026-03-02T12:00:00Z", "feeds": [*(5 * [told]), "and 2 more"]}
    assert evidence.told("EPOCH_UNREAD", {"feeds": "50123456"}) == {"feeds": "…"}
    assert evidence.told("STATIONS_DIFFER", {"first": None}) == {"first": None}


def test_a_secret_of_the_settings_is_taken_out_of_names() -> None:
    assert evidence.told("INCOMPLETE", {"symbol": "EUR-whsec!x"}, secrets=["whsec!x"]) == {"symbol": "EUR-…"}


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([*sorted(evidence.TOLD), "NEW_CAUSE"]), st.dictionaries(KEYS, ANYTHING, max_size=5))
def test_no_account_number_is_told_of_any_cause_wherever_it_stands(cause: str, given: dict[str, Any]) -> None:
    told = json.dumps(evidence.told(cause, given), ensure_ascii=False)

    assert not re.search(r"\d{5}", told)


def test_of_every_cause_it_is_said_what_is_told() -> None:
    opened = re.compile(r'(?:cause=|Observation\(\s*|_tell\(|Level\(|_CAUSE = )"([A-Z_]{4,})"')
    sources = [path for package in ("tickhub", "quality") for path in (ROOT / package).rglob("*.py")]
    causes = {cause for path in sources for cause in opened.findall(path.read_text())}

    assert {"DISK_FULL", "READ_FAILED", "STATIONS_DIFFER", "BACKLOG_AGE", "CLOCK_AHEAD"} < causes
    assert causes - set(evidence.TOLD) == set()


@pytest.mark.parametrize("cause", ["BATCH_FAILED", "READ_FAILED", "CAPTURE_STOPPED", "EPOCH_UNREAD", "DISK_FULL"])
def test_words_of_others_are_not_told(cause: str) -> None:
    given = dict.fromkeys(("error", "text", "reason", "why"), "the terminal says hunter two")

    assert "hunter" not in json.dumps(evidence.told(cause, given | {"feeds": [given]}))
