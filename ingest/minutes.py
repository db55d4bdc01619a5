"""What a poller remembers of the past hours: the digest of each minute captured, so that a pass over them need not
fetch the rows again from the inbox."""

from tickhub.core import digest
from tickhub.core.digest import Digest
from tickhub.core.ticks import Ticks

_MINUTE_MS = 60_000
# Passes look back one hour, and as far as the newest of them has covered.
_KEPT_MS = 3 * 3_600_000


class Minutes:
    """Digests of one feed's captured rows by minute of the terminal's clock, whole from ``complete_from_msc`` on.

    Every captured row is added once: when it leaves the tail, or when it is captured behind it.
    """

    def __init__(self, *, complete_from_msc: int) -> None:
        self._complete_from = -(-complete_from_msc // _MINUTE_MS)
        self._digests: dict[int, Digest] = {}

    def add(self, rows: Ticks) -> None:
        """Add captured rows."""
        if len(rows) == 0:
            return
        for minute, found in digest.by_key(rows, rows["time_msc"] // _MINUTE_MS).items():
            self._digests[minute] = self._digests.get(minute, digest.ZERO) + found
        newest = max(self._digests)
        if newest - self._complete_from > 2 * _KEPT_MS // _MINUTE_MS:
            self._forget(newest - _KEPT_MS // _MINUTE_MS)

    def _forget(self, before: int) -> None:
        self._complete_from = before
        self._digests = {minute: value for minute, value in self._digests.items() if minute >= before}

    def is_all(self, shown: Ticks, *, start_msc: int, end_msc: int) -> bool:
        """Return whether the rows shown of ``[start_msc, end_msc)``, whole minutes, are known to be those captured.

        False where that is not known: the rows have to be compared.
        """
        start, end = start_msc // _MINUTE_MS, end_msc // _MINUTE_MS
        if start < self._complete_from or start_msc % _MINUTE_MS or end_msc % _MINUTE_MS:
            return False
        own = [value for minute in range(start, end) if (value := self._digests.get(minute)) is not None]
        return digest.of(shown) == digest.total(own)
