"""The fields of ticks as arrays of their own: a packed record of 60 bytes puts most of its numbers at odd addresses."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tickhub.core.ticks import TICK_DTYPE, Int64s, Mask, Ticks

Floats: TypeAlias = npt.NDArray[np.float64]
# What a check reads fields from, by name: records, or their columns. Any: arrays of several types.
Fields: TypeAlias = Ticks | Mapping[str, npt.NDArray[Any]]
# A fact of each tick's instrument: one for all, or one per tick, shape (n,).
Yes: TypeAlias = Mask | np.bool_
Whole: TypeAlias = Int64s | np.int64
Real: TypeAlias = Floats | np.float64


def of(ticks: Ticks) -> dict[str, npt.NDArray[Any]]:  # Any: as above
    """Copy ticks into one contiguous array per field, each of shape (n,)."""
    return {name: np.ascontiguousarray(ticks[name]) for name in TICK_DTYPE.names or ()}


def differs(values: npt.NDArray[Any], has_previous: Mask) -> Mask:  # Any: of any field
    """Mark the values that are not those of the tick before; NaN differs from everything."""
    marks = np.empty(len(values), dtype=bool)
    marks[:1] = False
    np.not_equal(values[1:], values[:-1], out=marks[1:])
    marks &= has_previous
    return marks
