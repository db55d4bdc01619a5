"""Up to when passes over the past have found nothing new, for one source; times are in the terminal's clock."""

from collections.abc import Callable, Collection, Iterable

from ingest.synchronising import DOUBT_S
from tickhub.core import clock
from tickhub.core.clock import DAY_MS

# How long after a pass that could not read a feed that feed is passed over again: first, doubled up to the longest.
_RETRY_S = (5.0, 300.0)
# A stretch that a terminal has not shown for so long, while it shows the rest of the symbol, is gone.
_GONE_AFTER_S = DAY_MS / 1000


def _forget(covered_msc: int) -> None:
    """Keep no record of what passes have covered."""


class Coverage:
    """Knows what is proven of all feeds, what of single ones is not, and since when the history is doubted."""

    def __init__(self) -> None:
        # Up to here a pass has found nothing new, feeds behind aside; None before anything was captured.
        self.covered_msc: int | None = None
        # Until then the terminal was seen connected to its broker, and its history whole: no pass covers more.
        self.sure_msc: int | None = None
        # Records, after each pass that counts, up to when the past is proven.
        self.record: Callable[[int], None] = _forget
        # From here the history is passed over once more, at a time of the monotonic clock.
        self._doubted_msc: int | None = None
        self._again_s = 0.0
        # Up to where feeds are covered that passes could not read since, and since when (monotonic), by feed.
        self._behind: dict[int, int] = {}
        self._behind_since_s: dict[int, float] = {}
        self._retry_s = 0.0
        self._wait_s = _RETRY_S[0]

    def reach_back(self, covered_msc: int) -> None:
        """Take no time behind this one for covered any more."""
        self.covered_msc = covered_msc if self.covered_msc is None else min(self.covered_msc, covered_msc)

    def doubt(self, since_msc: int) -> None:
        """Doubt the time since then until a terminal has surely fetched its history."""
        self._doubted_msc = since_msc if self._doubted_msc is None else min(self._doubted_msc, since_msc)
        self._again_s = clock.monotonic_s() + DOUBT_S

    @property
    def is_doubted(self) -> bool:
        """Return whether a terminal may still be fetching its history: what it does not show says nothing."""
        return self._doubted_msc is not None and clock.monotonic_s() < self._again_s

    def settle_doubt(self) -> int | None:
        """Return from where the history is to be passed over once more, once it is time to; the doubt ends."""
        if self.is_doubted:
            return None
        since_msc, self._doubted_msc = self._doubted_msc, None
        return since_msc

    @property
    def proven_msc(self) -> int | None:
        """Return up to when nothing new can be found in the past of any feed; None before anything was captured."""
        if self.covered_msc is None:
            return None
        doubted = [] if self._doubted_msc is None else [self._doubted_msc]
        return min([self.covered_msc, *doubted, *self._behind.values()])

    @property
    def is_whole(self) -> bool:
        """Return whether no feed is behind."""
        return not self._behind

    def is_behind(self, feed_id: int) -> bool:
        """Return whether passes could not read a feed."""
        return feed_id in self._behind

    def of(self, feed_id: int) -> int | None:
        """Return up to where a feed is covered; None before anything was captured."""
        if self.covered_msc is None:
            return None
        return min(self.covered_msc, self._behind.get(feed_id, self.covered_msc))

    def sure(self, time_msc: int) -> int:
        """Return up to where a pass that began at a time can cover."""
        return time_msc if self.sure_msc is None else min(time_msc, self.sure_msc)

    def is_time_to_retry(self) -> bool:
        """Return whether feeds are behind and shall be passed over again."""
        return bool(self._behind) and clock.monotonic_s() >= self._retry_s

    def is_gone(self, feed_id: int) -> bool:
        """Return whether what passes could not see of a feed has not been shown for so long that it is gone."""
        since_s = self._behind_since_s.get(feed_id)
        return since_s is not None and clock.monotonic_s() - since_s >= _GONE_AFTER_S

    def conclude(
        self, passed: Iterable[int], *, failed: Collection[int], before_msc: int, to_msc: int | None
    ) -> list[int]:
        """Note a pass that found nothing new: feeds passed, those of them it could not read, and where it began.

        ``to_msc`` is up to where a pass of all feeds covers them. Returns the feeds that are newly behind.
        """
        newly = [feed_id for feed_id in failed if feed_id not in self._behind]
        now_s = clock.monotonic_s()
        for feed_id in newly:
            self._behind[feed_id], self._behind_since_s[feed_id] = before_msc, now_s
        for feed_id in set(passed) - set(failed):
            self._behind.pop(feed_id, None)
            self._behind_since_s.pop(feed_id, None)
        if to_msc is not None:
            self.covered_msc = self.sure(to_msc)
        self._wait_s = min(self._wait_s * 2, _RETRY_S[1]) if failed and not newly else _RETRY_S[0]
        self._retry_s = now_s + self._wait_s
        if self.proven_msc is not None:
            self.record(self.proven_msc)
        return newly
