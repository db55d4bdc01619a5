"""The gate before the inbox: whether a poller may save now."""

from tickhub.core.errors import TransientError


class Closed(TransientError):
    """Nothing may be saved now: the poller reads and saves nothing until the gate is open again."""


class Gate:
    """A gate that is always open; the wiring gives a poller one that knows the disk."""

    def check(self) -> None:
        """Let pass, or not; called before each batch is saved, so it must be cheap.

        :raises Closed: if nothing may be saved now
        """

    def explains(self, error: Exception) -> bool:
        """Return whether an error of the database is what the gate is there for; the gate is closed then."""
        return False

    def passed(self) -> None:
        """Note that a poll went through."""
