"""Checks on the terminal's own flags. Each returns one boolean per tick, shape (n,): True where they contradict it.

Flags only advise: on genuine records a changed price goes unflagged once in ten thousand ticks, a flagged one is
unchanged as often, and bits are set that no documentation names. What is marked here occurs on none of them.
"""

import numpy as np

from quality.checks.columns import Fields
from tickhub.core.ticks import Mask

# TICK_FLAG_* of MetaTrader 5.
BID, ASK, LAST, VOLUME, BUY, SELL = 2, 4, 8, 16, 32, 64
_KNOWN = BID | ASK | LAST | VOLUME | BUY | SELL
_TRADED = LAST | VOLUME
_TRADE = _TRADED | BUY | SELL


def flag_mismatch(ticks: Fields, *, has_moved: Mask) -> Mask:
    """Mark ticks that tell a trade which is none, or nothing though a price moved from the tick before (``has_moved``).

    A trade that is none: LAST or VOLUME, without BID and ASK, and no last price; BUY or SELL without LAST and VOLUME. A
    flagged bid or ask of zero is an empty book, and an export names every column that it fills, with zeros too.
    """
    flags = ticks["flags"] & np.uint32(_KNOWN)
    marks: Mask = (flags == 0) & has_moved
    if (np.bitwise_or.reduce(flags, initial=0) & _TRADE) != 0:
        is_trade = ((flags & np.uint32(_TRADED)) != 0) & ((flags & np.uint32(BID | ASK)) == 0)
        marks |= is_trade & (ticks["last"] == 0)
        marks |= ((flags & np.uint32(BUY | SELL)) != 0) & ((flags & np.uint32(_TRADED)) == 0)
    return marks
