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
    """One connection that has a source, or is about to."""

    instance: str
    token_id: int
    link: Link
    end: Callable[[Closing], None]
    is_free: asyncio.Event = field(default_factory=asyncio.Event)


class Registry:
    """The seats by source. Used on the event loop only."""

    def __init__(self) -> None:
        self._seats: dict[int, Seat] = {}

    @property
    def seats(self) -> list[Seat]:
        """Return the seats that are taken."""
        return list(self._seats.values())

    @property
    def links(self) -> list[Link]:
        """Return every connected agent's link."""
        return [seat.link for seat in self._seats.values()]

    async def take(self, source_id: int, seat: Seat) -> None:
        """Sit down; a former connection of the same agent is ended first, another agent's is not.

        :raises Closing: if another agent has the source
        """
        former = self._seats.get(source_id)
        if former is not None:
            if former.instance != seat.instance:
                raise Closing(closing.HELD, "another agent sends this source's ticks")
            former.end(Closing(closing.REPLACED, "a newer connection of this agent took over"))
            try:
                await asyncio.wait_for(former.is_free.wait(), _WAIT_S)
            except TimeoutError:
                raise Closing(closing.TRY_LATER, "this agent's former connection has not ended yet") from None
            if source_id in self._seats:
                raise Closing(closing.REPLACED, "a newer connection of this agent took over")
        self._seats[source_id] = seat

    def leave(self, source_id: int, seat: Seat) -> None:
        """Stand up, if the seat was taken."""
        if self._seats.get(source_id) is seat:
            del self._seats[source_id]
        seat.is_free.set()


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
