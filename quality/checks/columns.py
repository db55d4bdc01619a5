"""The fields of ticks as arrays of their own: a packed record of 60 bytes puts most of its numbers at odd addresses."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import TICK_DTYPE, Int64s, Mask, Ticks

# More pieces are joined first: every field of every piece costs a view. Few are not: it would be a second copy.
_FEW = 4

Floats: TypeAlias = npt.NDArray[np.float64]
# What a check reads fields from, by name: records, or their columns. Any: arrays of several types.
Fields: TypeAlias = Ticks | Mapping[str, npt.NDArray[Any]]
# A fact of each tick's instrument: one for all, or one per tick, shape (n,).
Yes: TypeAlias = Mask | np.bool_
Whole: TypeAlias = Int64s | np.int64
Real: TypeAlias = Floats | np.float64


def of(pieces: Sequence[Ticks]) -> dict[str, npt.NDArray[Any]]:  # Any: as above
    """Copy ticks, piece after piece, into one contiguous array per field, each of shape (n,)."""
    if len(pieces) > _FEW:
        pieces = [tick_arrays.join(pieces)]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in TICK_DTYPE.names or ()}


def differs(values: npt.NDArray[Any], has_previous: Mask) -> Mask:  # Any: of any field
    """Mark the values that are not those of the tick before; NaN differs from everything."""
    marks = np.empty(len(values), dtype=bool)
    marks[:1] = False
    np.not_equal(values[1:], values[:-1], out=marks[1:])
    marks &= has_previous
    return marks
