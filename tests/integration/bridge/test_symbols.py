"""What an agent tells of its symbols: the instruments that they are, the source's priority, and their facts."""

from dataclasses import asdict, replace
from typing import Any

from ingest.agent import conversation
from ingest.sources.terminal import Mapped
from ingest.wire import lines
from ingest.wire.messages import Facts
from quality.models import Incident
from tests.integration.bridge.conftest import NOON_MSC, Desk
from tests.integration.bridge.test_refusals import closing
from tests.terminals import HandWrittenSource, HandWrittenTerminal
from tests.wire_client import Terminal
from tickhub import watching
from tickhub.core.symbols import SymbolFacts
from tickhub.reference.models import Feed, FeedFact, Source

EURO = SymbolFacts(5, 1e-05, 0, 4, 1e-05, 100_000.0, "EUR", "USD", "Forex\\EURUSD")


def symbol(instrument: str) -> dict[str, Any]:  # Any: JSON
    rule = "suffix .m of the sources file"
    return {
        "symbol": "EURUSD.m",
        "digits": 5,
        "is_quoted": True,
        "begins_msc": NOON_MSC,
        "instrument": instrument,
        "mapped_by": rule,
    }


def test_symbol_of_an_agent_is_the_instrument_that_its_rules_say(desk: Desk) -> None:
    terminal = Terminal(["EURUSD.m"])
    terminal.now_msc = NOON_MSC
    client = desk.client(terminal)

    client.hello(begins_msc=NOON_MSC, symbols=[symbol("EURUSD")], priority=7)
    client.finish()

    feed = Feed.objects.get(source=desk.source)
    assert (feed.symbol, feed.instrument.code, feed.mapped_by) == (
        "EURUSD.m",
        "EURUSD",
        "suffix .m of the sources file",
    )
    assert Source.objects.get(pk=desk.source.pk).priority == 7


def test_known_symbol_that_becomes_another_instrument_is_refused(desk: Desk) -> None:
    terminal = Terminal(["EURUSD.m"])
    terminal.now_msc = NOON_MSC
    first = desk.client(terminal)
    first.hello(begins_msc=NOON_MSC)
    first.finish()
    second = desk.client(terminal)

    code, reason = closing(second, lambda: second.hello(begins_msc=NOON_MSC, symbols=[symbol("EURUSD")]))

    assert code == 4003
    assert reason.startswith("source desk: its symbol EURUSD.m is the instrument EURUSD.m and cannot become EURUSD")


def test_facts_of_symbols_are_kept_and_their_changes_told(desk: Desk) -> None:
    terminal = Terminal(["GBPUSD", "EURUSD"])
    terminal.now_msc = NOON_MSC
    client = desk.client(terminal)
    client.hello(begins_msc=NOON_MSC)

    client.say(type="facts", symbols=[{"index": 1} | asdict(EURO)])
    client.serve(lambda: FeedFact.objects.count() == 1)
    client.say(type="facts", symbols=[{"index": 1} | asdict(replace(EURO, digits=6))])
    client.serve(lambda: FeedFact.objects.count() == 2)
    client.finish()
    watching.watch()

    assert list(FeedFact.objects.order_by("pk").values_list("feed__symbol", "digits", "path")) == [
        ("EURUSD", 5, "Forex\\EURUSD"),
        ("EURUSD", 6, "Forex\\EURUSD"),
    ]
    causes = set(Incident.objects.order_by("pk").values_list("cause", flat=True))
    assert causes >= {"INSTRUMENT_CHANGED", "DIGITS_DIFFER"}


class MappedSource(HandWrittenSource):
    """A source with rules of a sources file, whose terminal says something of its symbol."""

    priority: int | None = 9
    said = EURO

    def instrument(self, symbol: str) -> Mapped:
        return Mapped("EURUSD", "suffix .m of the sources file")

    def facts(self) -> dict[str, SymbolFacts]:
        return {"EURUSD.m": self.said}


def test_hello_of_the_agent_tells_what_the_sources_file_says() -> None:
    source = MappedSource(HandWrittenTerminal(), ("EURUSD.m",), now_msc=NOON_MSC)

    greeting = conversation.hello(source, "a", None, now_msc=NOON_MSC)

    assert (greeting.symbols[0].instrument, greeting.symbols[0].mapped_by, greeting.priority) == (
        "EURUSD",
        "suffix .m of the sources file",
        9,
    )
    assert lines.from_agent(lines.write(greeting)) == [greeting]
    # What the SPEC says goes before it.
    assert conversation.hello(source, "a", 3, now_msc=NOON_MSC).priority == 3


def test_facts_are_written_so_that_the_bridge_takes_them() -> None:
    said = Facts(((0, replace(EURO, path="Forex\tEURUSD\n", trade_tick_size=1e-300)),))

    (read,) = lines.from_agent(lines.write(said))

    assert read == Facts(((0, replace(EURO, path="Forex?EURUSD?", trade_tick_size=1e-300)),))
