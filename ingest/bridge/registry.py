"""Which agents are connected to this bridge: one for each source."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ingest.bridge.link import Link
from ingest.wire import closing
from ingest.wire.closing import Closing

# How long a new connection of the same agent waits for its former one to let go.
_WAIT_S = 10.0


@dataclass(slots=True)
class Seat:
    """One connection that has a source, or waits for it."""

    instance: str
    token_id: int
    link: Link
    end: Callable[[Closing], None]
    is_taken: asyncio.Event = field(default_factory=asyncio.Event)


class Registry:
    """The seats by source, and for each at most one connection that waits: the newest. Used on the event loop only."""

    def __init__(self) -> None:
        self._seats: dict[int, Seat] = {}
        self._waiting: dict[int, Seat] = {}

    @property
    def seats(self) -> list[Seat]:
        """Return the seats that are taken or waited for."""
        return [*self._seats.values(), *self._waiting.values()]

    @property
    def links(self) -> list[Link]:
        """Return every connected agent's link."""
        return [seat.link for seat in self._seats.values()]

    async def take(self, source_id: int, seat: Seat) -> None:
        """Sit down; former connections of the same agent are ended first, another agent's is not.

        :raises Closing: if another agent has the source, or the former connection takes long to end
        """
        former = self._waiting.get(source_id) or self._seats.get(source_id)
        if former is None:
            self._sit(source_id, seat)
            return
        if former.instance != seat.instance:
            raise Closing(closing.HELD, "another agent sends this source's ticks")
        self._waiting[source_id] = seat
        former.end(Closing(closing.REPLACED, "a newer connection of this agent took over"))
        try:
            await asyncio.wait_for(seat.is_taken.wait(), _WAIT_S)
        except TimeoutError:
            raise Closing(closing.TRY_LATER, "this agent's former connection has not ended yet") from None

    def leave(self, source_id: int, seat: Seat) -> None:
        """Stand up or wait no longer; who waits for the seat gets it, before anybody who comes later."""
        if self._waiting.get(source_id) is seat:
            del self._waiting[source_id]
        if self._seats.get(source_id) is not seat:
            return
        del self._seats[source_id]
        if source_id in self._waiting:
            self._sit(source_id, self._waiting.pop(source_id))

    def _sit(self, source_id: int, seat: Seat) -> None:
        self._seats[source_id] = seat
        seat.is_taken.set()


@contextmanager
def counted(counter: list[int], most: int) -> Iterator[None]:
    """Count one connection while it lasts.

    :raises Closing: if there are too many
    """
    if counter[0] >= most:
        raise Closing(closing.TRY_LATER, f"more than {most} connections")
    counter[0] += 1
    try:
        yield
    finally:
        counter[0] -= 1
