"""Verifies certificates without database or Django: ``python -m tickhub.verify FILE…``."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tickhub.certificates import keys, verifying
from tickhub.certificates.document import DocumentInvalid
from tickhub.certificates.verifying import Verified
from tickhub.core.errors import UsageError
from tickhub.core.ticks import Ticks

DESCRIPTION = (
    "Verify certificates of completeness: signature, sums, and that each follows from the one before it. Needs neither "
    "the database nor the ticks; with --ticks the stored ticks themselves are compared. Exit code 0: everything holds; "
    "1: something does not; 2: a file cannot be used."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what :func:`run` takes."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="certificates, one on each line")
    parser.add_argument(
        "--public-key",
        metavar="KEY",
        help="the only key that may have signed them: 64 hexadecimal digits, or a file of it. Without it any key will "
        "do, and the line at the end names it: compare it with what the issuer told you",
    )
    parser.add_argument("--ticks", type=Path, metavar="X.npz", help="an export of the feed: compare its ticks too")
    parser.add_argument(
        "--require-whole",
        action="store_true",
        help="exit code 1 if a certificate that none replaces is not whole, or one between others is missing",
    )
    parser.add_argument("--json", action="store_true", help="write the report as the last line")


def run(options: argparse.Namespace) -> int:
    """Verify, print what was found, and return the exit code.

    :raises UsageError: if a file or the key cannot be used
    """
    texts = [text for path in options.files for text in verifying.read_file(path)]
    key = None if options.public_key is None else _key(options.public_key)
    ticks = None if options.ticks is None else verifying.read_ticks(options.ticks)
    found, fault = _verify(texts, key, ticks)
    in_force = verifying.in_force(found)
    missing = list(verifying.missing(found))
    for one in found:
        newest = in_force[one.period]
        _print(f"{one.line()}; {one.link}" + ("" if newest is one else f"; replaced by certificate {newest.number}"))
    for gap in missing:
        _print(gap.line())
    keys_named = sorted({one.document.public_key for one in found})
    if fault is not None:
        _print(f"INVALID: {fault}")
    else:
        compared = "" if ticks is None else ", and the file holds the ticks that those in force count"
        trust = "" if key is not None else ": compare it with what the issuer told you"
        _print(f"{len(found)} of {len(texts)} hold{compared}; signed by {', '.join(keys_named)}{trust}")
    not_whole = sum(not one.is_whole for one in in_force.values())
    if options.json:
        _print_json(
            {
                "certificates": len(texts),
                "valid": fault is None,
                "in_force": len(in_force),
                "not_whole": not_whole,
                "missing": [dataclasses.asdict(gap) for gap in missing],
                "fault": fault,
                "public_keys": keys_named,
            }
        )
    return 1 if fault is not None or (options.require_whole and (not_whole or missing)) else 0


def _verify(texts: Sequence[str], key: str | None, ticks: Ticks | None) -> tuple[list[Verified], str | None]:
    """Return the certificates whose signatures, sums and links hold, and what does not hold, None where all does."""
    found: list[Verified] = []
    try:
        found = verifying.verify(texts, public_key=key)
        if ticks is not None:
            for one in verifying.in_force(found).values():
                verifying.compare(one, ticks)
    except DocumentInvalid as error:
        return found, str(error)
    return found, None


def _key(text: str) -> str:
    path = Path(text)
    try:
        return keys.public(path.read_text() if path.is_file() else text)
    except (OSError, ValueError) as error:
        raise UsageError(f"--public-key {text}: cannot be read") from error


def _print(line: str) -> None:
    sys.stdout.write(printable(line) + "\n")


def _print_json(report: dict[str, Any]) -> None:  # Any: JSON
    # JSON escapes all that is not ASCII, and of the control characters all but this one.
    sys.stdout.write(json.dumps(report, separators=(",", ":")).replace("\x7f", "\\u007f") + "\n")


def printable(text: str) -> str:
    """Escape what would move a terminal's cursor, begin a line or turn the direction of writing.

    Names are the issuer's, and whoever signs a certificate chooses them.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="python -m tickhub.verify", description=DESCRIPTION)
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except UsageError as error:
        sys.stderr.write(printable(f"error: {error}") + "\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
