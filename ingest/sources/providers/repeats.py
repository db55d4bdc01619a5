"""Files that hold ticks which another file holds too: two versions of one month, an archive beside what was unpacked.

Added together they would double a part of it without a sign: equal ticks are real, so nothing later could tell.
"""

from itertools import pairwise

from ingest.sources.providers.loaded import Loaded, Piece
from tickhub.core import ticks as tick_arrays


class Overlap(ValueError):
    """Two files hold the same time of a symbol, and neither is the beginning of the other."""


def leave_out(found: Loaded) -> None:
    """Keep of files that begin alike the longest, and say which were left out.

    :raises Overlap: if two of the rest hold the same time of a symbol
    """
    kept: dict[bytes, list[Piece]] = {}
    # The longest first; of equal ones the first by name.
    for piece in sorted(found.pieces, key=lambda piece: -len(piece.ticks)):
        alike = kept.setdefault(piece.symbol.encode() + piece.ticks[:1].tobytes(), [])
        longer = next((other for other in alike if _begins_as(other, piece)), None)
        if longer is None:
            alike.append(piece)
        else:
            what = "same ticks as" if len(longer.ticks) == len(piece.ticks) else "beginning of the ticks of"
            found.left_out.append(f"{piece.path}: holds the {what} {longer.path}")
    chosen = {id(piece) for pieces in kept.values() for piece in pieces}
    found.pieces = [piece for piece in found.pieces if id(piece) in chosen]
    _refuse_overlaps(found.pieces)


def _begins_as(longer: Piece, piece: Piece) -> bool:
    return tick_arrays.same(longer.ticks[: len(piece.ticks)], piece.ticks)


def _refuse_overlaps(pieces: list[Piece]) -> None:
    in_order = sorted(pieces, key=lambda piece: (piece.symbol, *_period(piece)))
    for before, after in pairwise(in_order):
        # Files that were cut at a number of lines share a millisecond.
        if before.symbol == after.symbol and _period(after)[0] < _period(before)[1]:
            raise Overlap(f"{before.path} and {after.path} hold different ticks of the same time: remove one of them")


def _period(piece: Piece) -> tuple[int, int]:
    """Return the times of a file's first and last row."""
    return int(piece.ticks["time_msc"][0]), int(piece.ticks["time_msc"][-1])
