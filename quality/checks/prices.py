"""Checks on the values of single ticks. Each returns one boolean per tick, shape (n,): True where it is wrong."""

import numpy as np

from quality.checks.columns import Fields, Real, Yes
from tickhub.core.ticks import Mask

_INT32_MAX = np.iinfo(np.int32).max
_INT64_MAX = np.iinfo(np.int64).max
_SEQ_MAX = 0x7FFF
# A price is the double nearest to a decimal, at most 2^-53 of it off; dividing 10^digits into steps and multiplying
# round once more each: together 1.5 times 2^-52. Real records show 0.6; the arithmetic of brokers gets room.
_GRID_TOLERANCE = 4 * 2.0**-52


def not_finite(ticks: Fields) -> Mask:
    """Mark ticks whose bid, ask, last or volume_real is NaN or infinite."""
    # A sum is finite only where every term is, but for an overflow, which the exact check then clears.
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = ~np.isfinite(ticks["bid"] + ticks["ask"] + ticks["last"] + ticks["volume_real"])
    if not suspect.any():
        return suspect
    fields = (ticks[name] for name in ("bid", "ask", "last", "volume_real"))
    return suspect & ~np.logical_and.reduce([np.isfinite(field) for field in fields])


def negative(ticks: Fields, *, allowed: Yes) -> Mask:
    """Mark ticks with a price below zero where ``allowed`` (one per tick) does not say that there may be."""
    lowest = np.minimum(np.minimum(ticks["bid"], ticks["ask"]), ticks["last"])
    return (lowest < 0) & ~allowed


def no_bid(ticks: Fields, *, is_quoted: Yes) -> Mask:
    """Mark ticks without a bid where the instrument is priced by bid and ask."""
    return (ticks["bid"] == 0) & is_quoted


def no_ask(ticks: Fields, *, is_quoted: Yes) -> Mask:
    """Mark ticks without an ask where the instrument is priced by bid and ask."""
    return (ticks["ask"] == 0) & is_quoted


def no_last(ticks: Fields, *, is_quoted: Yes) -> Mask:
    """Mark ticks without a last price where the instrument is priced by it."""
    return (ticks["last"] == 0) & ~is_quoted


def crossed(ticks: Fields) -> Mask:
    """Mark ticks whose bid is above their ask; a side without a price crosses nothing."""
    return (ticks["bid"] > ticks["ask"]) & (ticks["ask"] != 0)


def locked(ticks: Fields, *, is_quoted: Yes) -> Mask:
    """Mark ticks whose bid is their ask: a spread of zero, which is real."""
    return (ticks["bid"] == ticks["ask"]) & (ticks["bid"] != 0) & is_quoted


def off_grid(ticks: Fields, *, steps: Real) -> Mask:
    """Mark ticks with a price that is no multiple of the grid's step but for the error of a double.

    ``steps`` is steps per unit of price, 10^digits where the step is the point; 0 stands for no grid.
    """
    marks = np.zeros(len(ticks["bid"]), dtype=bool)
    for side in ("bid", "ask", "last"):
        prices = ticks[side]
        if not prices.any():
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = prices * steps
            # In place: memory of this size comes from the system each time, which costs more than the arithmetic.
            off = np.rint(scaled)
            off -= scaled
            np.abs(off, out=off)
            np.abs(scaled, out=scaled)
            scaled *= _GRID_TOLERANCE
            marks |= off > scaled
    return marks


def outside_band(ticks: Fields, *, low: Real, high: Real) -> Mask:
    """Mark ticks with a price below ``low`` or above ``high``; zero is no price."""
    marks = np.zeros(len(ticks["bid"]), dtype=bool)
    for side in ("bid", "ask", "last"):
        prices = ticks[side]
        marks |= ((prices < low) | (prices > high)) & (prices != 0)
    return marks


def unstorable(ticks: Fields, *, seq: np.typing.NDArray[np.int16]) -> Mask:
    """Mark ticks with a value that the tick table cannot hold and give back bit for bit.

    Its flags are int4, its volume int8, its seq int2 (the last value stands for "too many in one millisecond"), and
    ``time`` is not stored because it follows from ``time_msc``.
    """
    return (
        (ticks["flags"] > _INT32_MAX)
        | (ticks["volume"] > np.uint64(_INT64_MAX))
        | (seq >= _SEQ_MAX)
        | (ticks["time"] != ticks["time_msc"] // 1000)
    )
