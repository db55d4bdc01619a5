"""Ticks in JSON: an array of eight numbers each, in the order of the record."""

from collections.abc import Sequence

import numpy as np

from ingest.wire.closing import Malformed
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import TICK_DTYPE, Ticks

_WHOLE = ("time", "volume", "time_msc", "flags")
_NAMES = TICK_DTYPE.names or ()


def read(rows: object, where: str, *, most: int) -> Ticks:
    """Read rows.

    :raises Malformed: if one is not eight numbers that fit the record
    """
    if not isinstance(rows, list) or len(rows) > most:
        raise Malformed(f"{where}: expected an array of at most {most} ticks")
    if not all(_is_row(row) for row in rows):
        raise Malformed(f"{where}: expected eight numbers for each tick, those of {', '.join(_WHOLE)} whole")
    try:
        return tick_arrays.freeze(np.array([tuple(row) for row in rows], dtype=TICK_DTYPE))
    except (OverflowError, ValueError):
        raise Malformed(f"{where}: a number does not fit the record") from None


def _is_row(row: object) -> bool:
    return (
        isinstance(row, list)
        and len(row) == len(_NAMES)
        and all(
            type(value) is int or (type(value) is float and name not in _WHOLE)
            for name, value in zip(_NAMES, row, strict=True)
        )
    )


def write(ticks: Ticks) -> Sequence[object]:
    """Return rows as JSON writes them, exact to the last bit."""
    return [list(row) for row in ticks.tolist()]
