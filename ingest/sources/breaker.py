"""Says when a terminal that does not answer may be tried again: growing pauses, then a circuit breaker.

Closed: after each failure a pause, doubled, with full jitter. After some failures in a row the circuit opens: the
pause is long, and one try ends it (half-open). A try that works closes the circuit, another failure opens it again.
"""

import random
from collections.abc import Callable
from enum import StrEnum

from tickhub.core import clock

FAILURES_MOST = 8
# The shortest and the longest pause, while closed and while open.
CLOSED_S = (0.25, 5.0)
OPEN_S = (15.0, 120.0)


class Circuit(StrEnum):
    """The states of a breaker."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class Breaker:
    """Counts the failures in a row of one terminal. ``jitter`` draws a number between two others."""

    def __init__(
        self,
        *,
        now_s: Callable[[], float] = clock.monotonic_s,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.failures = 0
        self._now_s = now_s
        self._jitter = jitter
        self._retry_at_s: float | None = None

    @property
    def circuit(self) -> Circuit:
        """Return the state as of now."""
        if self.failures < FAILURES_MOST:
            return Circuit.CLOSED
        return Circuit.HALF_OPEN if self.may_try() else Circuit.OPEN

    def may_try(self) -> bool:
        """Return whether the pause after the last failure is over."""
        return self._retry_at_s is None or self._now_s() >= self._retry_at_s

    def remaining_s(self) -> float:
        """Return how long the pause still lasts, in seconds."""
        return 0.0 if self._retry_at_s is None else max(self._retry_at_s - self._now_s(), 0.0)

    def failed(self) -> None:
        """Note a try that failed."""
        self.failures += 1
        if self.failures < FAILURES_MOST:
            pause_s = self._jitter(0.0, min(CLOSED_S[0] * 2 ** (self.failures - 1), CLOSED_S[1]))
        else:
            longest_s = min(OPEN_S[0] * 2 ** min(self.failures - FAILURES_MOST, 10), OPEN_S[1])
            # Half of it for certain: an open circuit is there to leave the terminal alone.
            pause_s = self._jitter(longest_s / 2, longest_s)
        self._retry_at_s = self._now_s() + pause_s

    def succeeded(self) -> None:
        """Note a try that worked: the circuit is closed."""
        self.failures = 0
        self._retry_at_s = None
