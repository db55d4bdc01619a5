"""`manage.py agent_token`: shown once or written for one reader, bound to a source with a clock, revoked."""

import stat
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from ingest.bridge import tokens
from tests.capturing import make_rig
from tickhub.core.errors import UsageError
from tickhub.reference.models import ClockEpoch, Source

pytestmark = pytest.mark.usefixtures("database")


def agent_token(*arguments: str) -> str:
    """Run the command and return what it says."""
    said = StringIO()
    call_command("agent_token", *arguments, stdout=said)
    return said.getvalue()


def test_a_token_is_shown_once_and_opens_its_source_alone() -> None:
    token = agent_token("--source", "desk1", "--clock", "+03:00").strip()

    found = tokens.find(token=token)

    assert found is not None
    assert found.source.name == "desk1"
    assert ClockEpoch.objects.get().offset_ms == 3 * 3_600_000
    assert tokens.find(token=token + "x") is None


def test_a_token_file_is_for_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "desk1.token"

    said = agent_token("--source", "desk1", "--clock", "UTC", "--out", str(path))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tokens.find(token=path.read_text().strip()) is not None
    assert path.read_text().strip() not in said
    with pytest.raises(UsageError, match="File exists"):
        agent_token("--source", "desk1", "--out", str(path))


def test_a_refused_source_leaves_neither_file_nor_row(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="source desk1 is new: --clock is required"):
        agent_token("--source", "desk1", "--out", str(tmp_path / "token"))

    assert not (tmp_path / "token").exists()
    assert not Source.objects.exists()


def test_a_known_source_keeps_its_clock() -> None:
    agent_token("--source", "desk1", "--clock", "+03:00")

    with pytest.raises(UsageError, match="cannot become UTC"):
        agent_token("--source", "desk1", "--clock", "UTC")


def test_a_source_that_a_poller_captures_gets_no_token() -> None:
    make_rig("EURUSD", name="hand")

    with pytest.raises(UsageError, match="source hand is captured by hand:, not by an agent"):
        agent_token("--source", "hand", "--clock", "UTC")


def test_renewing_and_revoking_end_the_tokens_before() -> None:
    first = agent_token("--source", "desk1", "--clock", "UTC").strip()
    second = agent_token("--source", "desk1").strip()
    assert tokens.find(token=first) is not None

    third = agent_token("--source", "desk1", "--renew").strip()
    assert [tokens.find(token=token) is None for token in (first, second, third)] == [True, True, False]

    assert agent_token("--source", "desk1", "--revoke") == "1 tokens of desk1 revoked\n"
    assert tokens.find(token=third) is None
