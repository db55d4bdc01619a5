"""What each quality flag says of a tick, in a few words for people. docs/quality.md tells more."""

from tickhub.core import flags

_REASONS = {
    "NOT_FINITE": "bid, ask, last or volume_real is NaN or infinite",
    "NEGATIVE": "a price is below zero, which this instrument does not have",
    "IMPLAUSIBLE_DAY": "its time is on no plausible day",
    "UNSTORABLE": "the tick table cannot hold it and give it back bit for bit",
    "NO_BID": "bid is 0",
    "NO_ASK": "ask is 0",
    "NO_LAST": "last is 0",
    "CROSSED": "bid is above ask",
    "LATE": "it appeared behind the cursor",
    "STALE": "it was older at its poll than the instrument allows",
    "FUTURE": "it is later than the terminal's time of the poll",
    "REPEAT": "it equals the tick before it",
    "SPREAD_OUTLIER": "its spread is far above those before it",
    "JUMP_OUTLIER": "its price moved far more than prices did before it",
    "COLLISION": "its key was stored already",
    "AMBIGUOUS_TIME": "its hour is shown twice by the terminal's clock, and it may be of either pass",
    "NO_SUCH_TIME": "its hour is left out by the terminal's clock",
    "LOCKED": "bid equals ask",
    "REVERT": "its price is back where it was before a spike",
    "STUCK": "bid, ask, last and volume are those of every tick before it for long",
    "OFF_GRID": "a price is no multiple of the instrument's step",
    "BAD_VOLUME": "its volume is below zero, or its two volumes contradict each other",
    "FLAG_MISMATCH": "the terminal's flags contradict its prices",
    "OUT_OF_SESSION": "the instrument's calendar is closed at its time",
    "OUTSIDE_BAND": "a price is outside the instrument's daily limits",
    "UNJUDGED": "a check took too long and was left out; it is made up for later",
    "RELEASED": "it was held and somebody has released it",
}


def told(quality: int) -> dict[str, str]:
    """Return what each set flag says, by its name in bit order.

    :raises KeyError: if a flag says nothing
    """
    return {name: _REASONS[name] for name in flags.names(quality)}
