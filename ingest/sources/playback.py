"""Playback clocks: what time it is for a simulated terminal, in UTC milliseconds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tickhub.core.ticks import Int64s

REVEAL_TICKS = 32_768


@dataclass(frozen=True, slots=True)
class Playback:
    """Where playback stands, so that a restart continues.

    All times are UTC. ``origin_msc`` is the host's instant at which playback began. ``start_msc`` is the time shown at
    it, None for ``start=`` or the earliest row. ``reached_msc`` is the latest tick captured so far: at
    ``speed=max`` everything visible at it is visible at once; None where nothing was shown yet.
    """

    origin_msc: int
    start_msc: int | None
    reached_msc: int | None


class PlaybackClock(Protocol):
    """A clock that stands still until :meth:`advance`, so that no tick of a poll is later than the poll."""

    now_msc: int

    def advance(self) -> None:
        """Go on to the time of the next poll."""


class HostClock:
    """The host's time."""

    def __init__(self, *, host_now_msc: Callable[[], int]) -> None:
        self._host_now_msc = host_now_msc
        self.now_msc = host_now_msc()

    def advance(self) -> None:
        """Read the host's clock; where that was set back, wait for it: a terminal takes no tick back."""
        self.now_msc = max(self.now_msc, self._host_now_msc())


class TimedClock:
    """A recording's time, running at ``speed`` since the playback origin."""

    def __init__(self, *, origin_msc: int, start_msc: int, speed: float, host_now_msc: Callable[[], int]) -> None:
        self._origin_msc = origin_msc
        self._start_msc = start_msc
        self._speed = speed
        self._host_now_msc = host_now_msc
        self.now_msc = self._read()

    def advance(self) -> None:
        """Read the host's clock; where that was set back, wait for it: a terminal takes no tick back."""
        self.now_msc = max(self.now_msc, self._read())

    def _read(self) -> int:
        return self._start_msc + int((self._host_now_msc() - self._origin_msc) * self._speed)


class RevealClock:
    """Shows a bounded number of further rows with each poll; it stands at the newest row shown.

    A millisecond is shown whole, however many rows it holds. ``shown_at`` holds, for each tape, when its rows become
    visible, never falling. Everything visible at ``reached_msc`` is shown from the start, else nothing. It stands still
    just before each of ``stops``, the switches of the terminal's clock, as a terminal that is polled all the time.
    """

    def __init__(
        self,
        shown_at: Sequence[Int64s],
        *,
        reached_msc: int | None,
        reveal_ticks: int = REVEAL_TICKS,
        stops: Sequence[int] = (),
    ) -> None:
        # Sorted runs: the stable sort merges them.
        self._shown_at = shown_at[0] if len(shown_at) == 1 else np.sort(np.concatenate(shown_at), kind="stable")
        self._reveal_ticks = reveal_ticks
        self._stops = tuple(stops)
        self.now_msc = int(self._shown_at[0]) - 1 if reached_msc is None else reached_msc

    def advance(self) -> None:
        """Show the next rows."""
        shown = int(np.searchsorted(self._shown_at, self.now_msc, side="right"))
        if shown == len(self._shown_at):
            return
        end = shown + self._reveal_ticks
        if end < len(self._shown_at):
            # The last millisecond that fits whole, else the first one whole.
            end = int(np.searchsorted(self._shown_at, self._shown_at[end], side="left"))
        newest = max(min(end, len(self._shown_at)) - 1, shown)
        next_msc = int(self._shown_at[newest])
        before = [stop - 1 for stop in self._stops if self.now_msc < stop - 1 < next_msc]
        self.now_msc = min(before, default=next_msc)


class StandingClock:
    """A time that does not go on."""

    def __init__(self, now_msc: int) -> None:
        self.now_msc = now_msc

    def advance(self) -> None:
        """Stay."""
