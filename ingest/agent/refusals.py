"""Tells a rival, who goes on holding the source, from refusals that pass."""

from ingest.wire import closing, limits

# A connection of ours that was cut may seem to be there for some time: so long, being refused is no rival.
HELD_S = limits.DEAD_S + 5.0


class Refusals:
    """Knows since when the bridge has said nothing else than that another holds the source."""

    def __init__(self) -> None:
        self._since_s: float | None = None

    def passed(self) -> None:
        """Note that a try ended otherwise: nothing is known of a rival any more."""
        self._since_s = None

    def is_rival(self, code: int, *, now_s: float) -> bool:
        """Note the code of a refusal; return whether another has held the source for too long."""
        if code != closing.HELD:
            self.passed()
            return False
        if self._since_s is None:
            self._since_s = now_s
        return now_s - self._since_s > HELD_S
