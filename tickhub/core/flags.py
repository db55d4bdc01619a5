"""Quality flags: one bit for each defect that a tick can have. Stored codes: never renumber one."""

import enum
from functools import lru_cache

import numpy as np
import numpy.typing as npt


class Flag(enum.IntFlag):
    """What is known against a tick. The bits of :data:`HOLD` keep it out of the tick table."""

    NOT_FINITE = 1 << 0
    NEGATIVE = 1 << 1
    IMPLAUSIBLE_DAY = 1 << 2
    UNSTORABLE = 1 << 3
    NO_BID = 1 << 4
    NO_ASK = 1 << 5
    NO_LAST = 1 << 6
    CROSSED = 1 << 7
    LATE = 1 << 8
    FUTURE = 1 << 9
    REPEAT = 1 << 10
    SPREAD_OUTLIER = 1 << 11
    JUMP_OUTLIER = 1 << 12
    COLLISION = 1 << 13
    AMBIGUOUS_TIME = 1 << 14
    NO_SUCH_TIME = 1 << 15
    LOCKED = 1 << 16
    REVERT = 1 << 17
    STUCK = 1 << 18
    STALE = 1 << 19
    OFF_GRID = 1 << 20
    BAD_VOLUME = 1 << 21
    FLAG_MISMATCH = 1 << 22
    OUTSIDE_BAND = 1 << 24
    UNJUDGED = 1 << 26
    RELEASED = 1 << 27
    OUT_OF_SESSION = 1 << 23


# What cannot be a tick of its instrument; it goes to quarantine with its bytes.
HOLD = Flag.NOT_FINITE | Flag.NEGATIVE | Flag.IMPLAUSIBLE_DAY | Flag.UNSTORABLE | Flag.NO_SUCH_TIME
# True facts that say nothing against a tick: they do not make it "flagged" in the totals.
INFORMATIONAL = Flag.REPEAT | Flag.LOCKED
# Facts of the poll, not of the prices: they do not follow from the ticks alone.
OF_THE_POLL = Flag.LATE | Flag.FUTURE | Flag.STALE | Flag.AMBIGUOUS_TIME | Flag.NO_SUCH_TIME

FlagArray = npt.NDArray[np.int32]


@lru_cache(maxsize=1024)
def names(value: int) -> tuple[str, ...]:
    """Return the names of the set bits in bit order.

    :raises ValueError: if a bit has no name
    """
    unknown = value & ~int(sum(Flag))
    if unknown:
        msg = f"quality flags {value:#x}: bits {unknown:#x} have no name"
        raise ValueError(msg)
    return tuple(flag.name for flag in Flag if value & flag and flag.name)


def counts(flags: FlagArray) -> dict[str, int]:
    """Count, for each flag that occurs, the ticks that carry it."""
    found: dict[str, int] = {}
    present = int(np.bitwise_or.reduce(flags)) if len(flags) else 0
    for name in names(present):
        found[name] = int(np.count_nonzero(flags & Flag[name]))
    return found
