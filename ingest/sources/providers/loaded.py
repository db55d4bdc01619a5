"""What a reader of a provider's files gives: the ticks of each symbol, and what was left out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ingest.sources.recording import Recording
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Ticks
from tickhub.reference import codes

_NOTES_MAX = 20
EXAMPLES_MAX = 5


class Unreadable(ValueError):
    """A file is damaged, or not of the provider's format: the others are read without it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The ticks of one file in its own order, and its bad rows: counted, the first few with reasons."""

    symbol: str
    path: Path
    ticks: Ticks
    bad_count: int = 0
    bad_examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Loaded:
    """The pieces of many files, and a line for each file that was left out."""

    pieces: list[Piece] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def recordings(self, folder: Path) -> list[Recording]:
        """Return one recording for each symbol that has a tick, its files in the order of their first ticks."""
        by_symbol: dict[str, list[Piece]] = {}
        for piece in self.pieces:
            if len(piece.ticks):
                by_symbol.setdefault(piece.symbol, []).append(piece)
        return [Recording(symbol, tick_arrays.freeze(_join(by_symbol[symbol])), folder) for symbol in sorted(by_symbol)]

    def notes(self) -> list[str]:
        """Return the lines to show once, of each kind the first few."""
        bad = [
            f"{piece.path.name}: {piece.bad_count} bad lines left out: " + "; ".join(piece.bad_examples)
            for piece in self.pieces
            if piece.bad_count
        ]
        return [*_first(f"skipped {line}" for line in self.left_out), *_first(bad)]


def _join(pieces: list[Piece]) -> Ticks:
    return tick_arrays.join([piece.ticks for piece in sorted(pieces, key=lambda p: int(p.ticks["time_msc"][0]))])


def _first(lines: Iterable[str]) -> list[str]:
    found = list(lines)
    rest = len(found) - _NOTES_MAX
    return found if rest <= 0 else [*found[:_NOTES_MAX], f"… and {rest} more files"]


def is_wanted(symbol: str, wanted: str | None) -> bool:
    """Return whether a symbol is the one asked for, if any is; ``EURUSD`` asks for ``EUR/USD`` too."""
    return wanted is None or codes.canonical(symbol) == codes.canonical(wanted)
