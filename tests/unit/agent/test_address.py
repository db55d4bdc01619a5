"""What an agent is told of its bridge: the token is read as people's tools write it."""

from pathlib import Path

import pytest

from ingest.agent import link
from tickhub.core.errors import UsageError

BRIDGE = "wss://bridge.example"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_token_file_is_read_with_a_byte_order_mark_too(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "token").write_bytes("tickhub_abc\r\n".encode(encoding))

    assert link.address(BRIDGE, tmp_path / "token", ca_file=None, allows_plain=False).token == "tickhub_abc"


def test_a_token_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xe4")

    with pytest.raises(UsageError, match=r"token: cannot be read: is no text in UTF-8, or UTF-16 with a byte-order"):
        link.address(BRIDGE, tmp_path / "token", ca_file=None, allows_plain=False)
