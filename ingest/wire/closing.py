"""Why a connection ends: the close codes of the protocol."""

from tickhub.core.errors import TickhubError

NORMAL = 1000
TOO_BIG = 1009
RESTARTING = 1012
TRY_LATER = 1013
MALFORMED = 4000
UNKNOWN_TOKEN = 4001
OTHER_PROTOCOL = 4002
OTHER_SOURCE = 4003
SILENT = 4004
HELD = 4009
REPLACED = 4010
BROKEN = 4011

# Trying again changes nothing: somebody has to mend something first.
FINAL = frozenset({MALFORMED, UNKNOWN_TOKEN, OTHER_PROTOCOL, OTHER_SOURCE, BROKEN})
_REASON_BYTES = 123


class Closing(TickhubError):
    """The connection has to end, with a code and a reason of one line."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = " ".join(reason.encode()[:_REASON_BYTES].decode(errors="ignore").split())


class Malformed(Closing):
    """A message is not as docs/wire.md describes."""

    def __init__(self, reason: str, *, code: int = MALFORMED) -> None:
        super().__init__(code, reason)
