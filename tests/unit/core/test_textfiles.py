"""Text files are read as people's tools write them; what cannot be read is told without what it holds."""

from pathlib import Path

import pytest

from tickhub.core import textfiles


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_is_read_with_and_without_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "text").write_bytes("größe\r\n".encode(encoding))

    assert textfiles.read(tmp_path / "text") == "größe\r\n"


@pytest.mark.parametrize("raw", ["geheim ä".encode("latin-1"), "secret".encode("utf-16-le"), b"\xff\xfeodd"])
def test_other_bytes_are_refused_and_not_shown(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "text").write_bytes(raw)

    with pytest.raises(ValueError, match=r"^is no text in UTF-8, or UTF-16 with a byte-order mark$") as raised:
        textfiles.read(tmp_path / "text")
    assert raised.value.__cause__ is None
