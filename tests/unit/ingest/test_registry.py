"""Who sits on a source's seat: of one agent's connections the newest, which is the one that lives."""

import asyncio
from collections.abc import Coroutine

import pytest

from ingest.bridge.link import Link
from ingest.bridge.registry import Registry, Seat
from ingest.wire import closing
from ingest.wire.closing import Closing

SOURCE_ID = 7


class Connections:
    """Connections that ask for one source, and what became of each."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.ends: dict[str, int] = {}

    def seat(self, name: str, instance: str = "a") -> Seat:
        def end(why: Closing) -> None:
            self.ends[name] = why.code

        return Seat(instance, 1, Link(transmit=lambda message: None), end)

    async def ask(self, seat: Seat) -> "asyncio.Task[None]":
        """Let a connection ask for the seat."""
        asking = asyncio.ensure_future(self.registry.take(SOURCE_ID, seat))
        await asyncio.sleep(0)
        return asking


def run(work: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 5))


def test_of_several_that_wait_the_newest_sits_down_and_the_others_are_replaced() -> None:
    async def main() -> None:
        them = Connections()
        first, second, third = (them.seat(name) for name in ("first", "second", "third"))
        await them.ask(first)
        await them.ask(second)
        newest = await them.ask(third)

        them.registry.leave(SOURCE_ID, second)
        them.registry.leave(SOURCE_ID, first)
        await newest

        assert them.registry.seats == [third]
        assert them.ends == {"first": closing.REPLACED, "second": closing.REPLACED}

    run(main())


def test_one_that_stops_waiting_does_not_sit_down() -> None:
    async def main() -> None:
        them = Connections()
        first, second = them.seat("first"), them.seat("second")
        await them.ask(first)
        await them.ask(second)

        them.registry.leave(SOURCE_ID, second)
        them.registry.leave(SOURCE_ID, first)

        assert them.registry.seats == []

    run(main())


def test_another_agent_gets_the_seat_neither_while_it_is_taken_nor_while_it_is_waited_for() -> None:
    async def main() -> None:
        them = Connections()
        first, second, rival = them.seat("first"), them.seat("second"), them.seat("rival", "b")
        await them.ask(first)
        newest = await them.ask(second)

        with pytest.raises(Closing) as refused:
            await them.registry.take(SOURCE_ID, rival)
        them.registry.leave(SOURCE_ID, first)
        # Between the leaving of one and the waking of the next.
        with pytest.raises(Closing) as refused_again:
            await them.registry.take(SOURCE_ID, rival)
        await newest

        assert (refused.value.code, refused_again.value.code) == (closing.HELD, closing.HELD)
        assert them.registry.seats == [second]

    run(main())
