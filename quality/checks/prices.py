"""Checks on the values of single ticks. Each returns one boolean per tick, shape (n,): True where it is wrong."""

import numpy as np

from tickhub.core.ticks import Mask, Ticks

_INT32_MAX = np.iinfo(np.int32).max
_INT64_MAX = np.iinfo(np.int64).max
_SEQ_MAX = 0x7FFF


def not_finite(ticks: Ticks) -> Mask:
    """Mark ticks whose bid, ask, last or volume_real is NaN or infinite."""
    # A sum is finite only where every term is, but for an overflow, which the exact check then clears.
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = ~np.isfinite(ticks["bid"] + ticks["ask"] + ticks["last"] + ticks["volume_real"])
    if not suspect.any():
        return suspect
    fields = (ticks[name] for name in ("bid", "ask", "last", "volume_real"))
    return suspect & ~np.logical_and.reduce([np.isfinite(field) for field in fields])


def negative(ticks: Ticks, *, allowed: Mask) -> Mask:
    """Mark ticks with a price below zero where ``allowed`` (one per tick) does not say that there may be."""
    lowest = np.minimum(np.minimum(ticks["bid"], ticks["ask"]), ticks["last"])
    return (lowest < 0) & ~allowed


def no_bid(ticks: Ticks, *, is_quoted: Mask) -> Mask:
    """Mark ticks without a bid where the instrument is priced by bid and ask."""
    return (ticks["bid"] == 0) & is_quoted


def no_ask(ticks: Ticks, *, is_quoted: Mask) -> Mask:
    """Mark ticks without an ask where the instrument is priced by bid and ask."""
    return (ticks["ask"] == 0) & is_quoted


def no_last(ticks: Ticks, *, is_quoted: Mask) -> Mask:
    """Mark ticks without a last price where the instrument is priced by it."""
    return (ticks["last"] == 0) & ~is_quoted


def crossed(ticks: Ticks) -> Mask:
    """Mark ticks whose bid is above their ask; a side without a price crosses nothing."""
    return (ticks["bid"] > ticks["ask"]) & (ticks["ask"] != 0)


def unstorable(ticks: Ticks, *, seq: np.typing.NDArray[np.int16]) -> Mask:
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
