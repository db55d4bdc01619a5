"""From a source's own symbol to the instrument's canonical code."""

import re

_PAIR = re.compile(r"([A-Za-z]{3})/([A-Za-z]{3})")


def canonical(symbol: str) -> str:
    """Return the code of what a symbol trades: a pair of currencies written ``EUR/USD`` is ``EURUSD``."""
    pair = _PAIR.fullmatch(symbol)
    return f"{pair[1]}{pair[2]}".upper() if pair else symbol
