"""The roots of all errors of tickhub: what may be tried again, what may not, and what the user should mend."""


class TickhubError(Exception):
    """Root of the errors that tickhub raises itself."""


class TransientError(TickhubError):
    """It may succeed when tried again: the task retries with back-off."""


class PermanentError(TickhubError):
    """It fails again however often it is tried: the batch is failed and keeps its bytes."""


class UsageError(TickhubError):
    """What the user gave cannot be used. Commands print it as one line and exit with 2."""
