"""Tells a lease that somebody holds from one whose holder has died: only the former is prolonged."""

from dataclasses import dataclass

from ingest.models import Lease
from ingest.wire import closing
from ingest.wire.closing import Closing


@dataclass(frozen=True, slots=True)
class _Seen:
    """A lease as it was when an agent first met it; ``is_alive`` once it was prolonged since."""

    fence: int
    expires_at: float
    is_alive: bool = False


class Holders:
    """What one bridge has seen of the leases that it could not take."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}

    def refusal(self, *, source_id: int, name: str) -> Closing:
        """Return why an agent cannot have a source now: somebody captures it, or has died and its lease lasts on.

        A holder prolongs its lease several times before it expires, so that one that lives is known soon after the
        first agent was sent away.
        """
        lease = Lease.objects.filter(pk=source_id).first()
        if lease is None:
            return _unknown(name)
        before, expires_at = self._seen.get(source_id), lease.expires_at.timestamp()
        if before is None or before.fence != lease.fence:
            before = _Seen(lease.fence, expires_at)
        is_alive = before.is_alive or expires_at > before.expires_at
        self._seen[source_id] = _Seen(lease.fence, expires_at, is_alive)
        if not is_alive:
            return _unknown(name)
        return Closing(closing.HELD, f"source {name} is captured by another process")


def _unknown(name: str) -> Closing:
    return Closing(
        closing.TRY_LATER, f"source {name}: the lease of a former process has not expired, if that has ended"
    )
