"""What can be said of certificates by anyone who holds them: keys, arithmetic, the chain, and the ticks themselves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tickhub.certificates import document
from tickhub.certificates.document import Document, DocumentInvalid
from tickhub.core import clock, digest
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import DAY_MS
from tickhub.core.digest import Digest
from tickhub.core.errors import UsageError
from tickhub.core.ticks import TICK_DTYPE, Ticks

# captured = the sum of these.
OUTCOMES = ("stored", "quarantined", "duplicates", "failed", "waiting")
# With them what was read again: the tick table, and the quarantine.
STATIONS = ("captured", *OUTCOMES, "table", "quarantine")


@dataclass(frozen=True, slots=True)
class Verified:
    """One certificate whose signature, form and sums hold. ``link`` says how it hangs on the one before it."""

    document: Document
    link: str

    @property
    def series(self) -> tuple[str, str]:
        """Return source and symbol of the feed, whose certificates are one chain."""
        return self.document.body["source"], self.document.body["symbol"]

    @property
    def number(self) -> int:
        """Return the certificate's place in the chain of its feed, from 1."""
        return int(self.document.body["number"])

    @property
    def period(self) -> tuple[str, str, int]:
        """Return source, symbol and begin: of the certificates of one period the newest is in force."""
        return *self.series, self.document.body["from_msc"]

    @property
    def is_whole(self) -> bool:
        """Return whether the certificate says that nothing of its period is missing."""
        return self.document.body["is_whole"] is True

    def line(self) -> str:
        """Tell in one line what was certified."""
        body = self.document.body
        period = f"{clock.iso(body['from_msc'])} to {clock.iso(body['to_msc'])}"
        says = "whole" if self.is_whole else "NOT WHOLE: " + "; ".join(_reasons(body))
        which = f"certificate {body['number']} of {body['symbol']} ({body['source']})"
        return f"{which}, {period}: {station(body, 'captured').count:,} captured, {says}"


def read_file(path: Path) -> list[str]:
    """Return the documents of a file, one on each line.

    :raises UsageError: if it cannot be read or holds none
    """
    try:
        # Not splitlines: it cuts at characters too that JSON leaves as they are in a name.
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: is no text in UTF-8") from error
    if not lines:
        raise UsageError(f"{path}: holds no certificate")
    return lines


def verify(texts: Sequence[str], *, public_key: str | None = None) -> list[Verified]:
    """Verify certificates in the order given; those of one feed that follow one another have to be linked.

    ``public_key`` (64 hexadecimal digits) is the only key that may have signed them; None takes any.

    :raises DocumentInvalid: if one does not hold; the message names it
    """
    found: list[Verified] = []
    newest: dict[tuple[str, str], Document] = {}
    for place, text in enumerate(texts, start=1):
        try:
            one = document.read(text)
            _check(one, public_key)
            series = (one.body["source"], one.body["symbol"])
            found.append(Verified(one, _link(one, newest.get(series))))
        except DocumentInvalid as error:
            raise DocumentInvalid(f"document {place}: {error}") from error
        newest[series] = one
    return found


def in_force(found: Sequence[Verified]) -> dict[tuple[str, str, int], Verified]:
    """Return the newest certificate of each period; it replaces the earlier ones of the same period."""
    return {one.period: one for one in found}


@dataclass(frozen=True, slots=True)
class Missing:
    """Certificates ``first`` to ``last`` of a chain, that stand between given ones and are not given themselves."""

    source: str
    symbol: str
    first: int
    last: int

    def line(self) -> str:
        """Tell in one line what is missing, and why it matters."""
        numbers = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        return f"MISSING: certificate {numbers} of {self.symbol} ({self.source}), which may replace one that is here"


def missing(found: Sequence[Verified]) -> Iterator[Missing]:
    """Yield what is left out between the certificates of each feed, in the order in which they were given.

    What came before the first one replaces none that is here; what came behind the last one only its issuer knows.
    """
    newest: dict[tuple[str, str], int] = {}
    for one in found:
        before = newest.get(one.series, one.number - 1)
        if one.number > before + 1:
            yield Missing(*one.series, before + 1, one.number - 1)
        newest[one.series] = one.number


def station(body: dict[str, Any], name: str) -> Digest:  # Any: JSON
    """Return what one station says.

    :raises DocumentInvalid: if it says nothing that can be read
    """
    try:
        return Digest.from_list(body["stations"][name])
    except (KeyError, TypeError, ValueError) as error:
        raise DocumentInvalid(f"its station {name} cannot be read") from error


def compare(one: Verified, ticks: Ticks) -> None:
    """Compare the stored ticks that a certificate counts with an export, in the terminal's clock.

    :raises DocumentInvalid: if they are other ticks
    :raises UsageError: if the period's clock was switched, so that the file's times cannot be told
    """
    body = one.document.body
    epochs = body["clock"]
    if len(epochs) != 1:
        raise UsageError(f"certificate {body['number']}: its clock is switched within it: its file cannot be compared")
    offset_ms = epochs[0]["offset_ms"]
    times = ticks["time_msc"] - offset_ms
    own = ticks[(times >= body["from_msc"]) & (times < body["to_msc"])]
    shown, said = digest.of(own, offset_ms=offset_ms), station(body, "table")
    if shown != said:
        what = "other ticks" if shown.count == said.count else f"{shown.count:,} ticks"
        raise DocumentInvalid(f"certificate {body['number']} counts {said.count:,} stored ticks, the file holds {what}")


def read_ticks(path: Path) -> Ticks:
    """Read an export (.npz with the array ``ticks``).

    :raises UsageError: if it is none
    """
    try:
        with np.load(path) as archive:
            ticks = archive["ticks"]
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or 'is no .npz file'}") from error
    except (KeyError, ValueError, EOFError) as error:
        raise UsageError(f"{path}: is no .npz file with an array of ticks") from error
    if ticks.dtype != TICK_DTYPE:
        raise UsageError(f"{path}: its ticks are no records of MetaTrader 5")
    return tick_arrays.freeze(ticks)


def _check(one: Document, public_key: str | None) -> None:
    body = one.body
    if public_key is not None and one.public_key != public_key:
        raise DocumentInvalid(f"signed by another key: expected {public_key}, was {one.public_key}")
    missing = [name for name, kind in _FORM.items() if not _is(body.get(name), kind)]
    if missing:
        raise DocumentInvalid(f"a certificate without a proper {', '.join(missing)}")
    if not body["from_msc"] < body["to_msc"]:
        raise DocumentInvalid("its period ends before it begins")
    if not all(isinstance(row, dict) and _is_offset(row.get("offset_ms")) for row in body["clock"]):
        raise DocumentInvalid("its clock tells no offset")
    said = {name: station(body, name) for name in STATIONS}
    if body["is_whole"] and not _is_whole(body, said):
        raise DocumentInvalid("it calls itself whole, and its own figures say that it is not")


def _is_whole(body: dict[str, Any], said: dict[str, Digest]) -> bool:  # Any: JSON
    is_kept = said["table"] == said["stored"] and said["quarantine"] == said["quarantined"]
    is_balanced = digest.total(said[name] for name in OUTCOMES) == said["captured"]
    is_done = not said["failed"].count and not said["waiting"].count
    return is_kept and is_balanced and is_done and body["is_proven"] and not body["reasons"]


_FORM: dict[str, type] = {
    "source": str,
    "symbol": str,
    "instrument": str,
    "number": int,
    "from_msc": int,
    "to_msc": int,
    "clock": list,
    "stations": dict,
    "reasons": list,
    "is_proven": bool,
    "is_whole": bool,
}


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _is_offset(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < DAY_MS


def _reasons(body: dict[str, Any]) -> list[str]:  # Any: JSON
    return [str(reason) for reason in body["reasons"]]


def _link(one: Document, before: Document | None) -> str:
    """Return how a certificate hangs on the one before it.

    :raises DocumentInvalid: if it does not follow from it
    """
    previous, number = one.body.get("previous"), one.body["number"]
    if before is not None and number <= before.body["number"]:
        raise DocumentInvalid(f"certificate {number} does not follow from certificate {before.body['number']}")
    if previous is None:
        if number != 1:
            raise DocumentInvalid(f"certificate {number} names none before it")
        return "the first of its feed"
    if before is None or number > before.body["number"] + 1:
        return f"follows certificate {number - 1}, which is not here"
    if previous != before.sha256:
        raise DocumentInvalid(f"certificate {number} does not follow from certificate {before.body['number']}")
    return f"follows certificate {number - 1}"
