"""How much of its history a simulated terminal has fetched by now: the oldest rows first, or the newest of what an
outage left out. Times are the host's where not said otherwise."""

from collections.abc import Callable
from dataclasses import dataclass

from ingest.sources.tape import Tape
from tickhub.core.ticks import Ticks


@dataclass(frozen=True, slots=True)
class Missed:
    """What a terminal missed, in UTC ``(from_msc, to_msc)``, and when it began to fetch that."""

    from_msc: int
    to_msc: int
    since_msc: int
    fetching_ms: int


class Fetching:
    """The state of one terminal's history."""

    def __init__(self, *, host_now_msc: Callable[[], int]) -> None:
        self._host_now_msc = host_now_msc
        # How long the whole takes, and when each symbol's first read began it.
        self._whole_ms = 0
        self._since_msc: dict[str, int] = {}
        self._missed: Missed | None = None

    def forget(self, whole_ms: int) -> None:
        """Begin anew with the next read of each symbol, the oldest rows first."""
        self._whole_ms = whole_ms
        self._since_msc.clear()

    def miss(self, *, from_msc: int, to_msc: int, fetching_ms: int) -> None:
        """Have missed a time (UTC), and fetch it from now on: nothing at first, then the newest rows first."""
        self._missed = Missed(from_msc, to_msc, self._host_now_msc(), fetching_ms)

    @property
    def has_hole(self) -> bool:
        """Return whether rows may be left out before others that are shown."""
        return self._missed is not None

    def shown(self, name: str, ticks: Ticks, tape: Tape) -> Ticks:
        """Return the rows of a read that have been fetched by now."""
        if self._missed is not None:
            ticks = self._without_missed(ticks, tape, self._missed)
        if not self._whole_ms:
            return ticks
        passed_ms = self._host_now_msc() - self._since_msc.setdefault(name, self._host_now_msc())
        return ticks if passed_ms >= self._whole_ms else ticks[: len(ticks) * passed_ms // self._whole_ms].copy()

    def _without_missed(self, ticks: Ticks, tape: Tape, missed: Missed) -> Ticks:
        """Leave out what is still to come, between the newest row before the outage and the newest row behind it."""
        passed_ms = self._host_now_msc() - missed.since_msc
        if passed_ms >= missed.fetching_ms:
            self._missed = None
            return ticks
        before, behind = tape.latest(missed.from_msc), tape.latest(missed.to_msc)
        if len(before) == 0 or len(behind) == 0:
            return ticks
        first_msc, last_msc = int(before["time_msc"][0]), int(behind["time_msc"][0])
        share = max(2 * passed_ms - missed.fetching_ms, 0) / missed.fetching_ms
        fetched_msc = last_msc - int((last_msc - first_msc) * share)
        times = ticks["time_msc"]
        return ticks[(times <= first_msc) | (times >= fetched_msc)].copy()
