"""Reads small text files that people write: with a byte-order mark too, as Notepad and PowerShell save them."""

import codecs
from pathlib import Path


def read(path: Path) -> str:
    """Return a file's text, without a byte-order mark.

    :raises OSError: if it cannot be read
    :raises ValueError: if it is no text; the message tells nothing of what it holds, which may be a secret
    """
    raw = path.read_bytes()
    is_wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = raw.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError:
        # Not chained: the error holds the bytes.
        raise ValueError("is no text in UTF-8, or UTF-16 with a byte-order mark") from None
    if "\0" in text:
        raise ValueError("is no text in UTF-8, or UTF-16 with a byte-order mark")
    return text
