"""Sets a source up in the database and gives tests its poller."""

from dataclasses import dataclass, field

from ingest import leases
from ingest.gate import Gate
from ingest.poller import Poller
from ingest.target import Options, Target
from tests.builders import NOON_MSC
from tests.terminals import HandWrittenSource, HandWrittenTerminal
from tickhub.core import zones
from tickhub.reference import queries as reference
from tickhub.reference import sources
from tickhub.reference.models import Feed
from tickhub.reference.sources import Description, SymbolDescription


@dataclass
class Rig:
    """A poller over a hand-written terminal, with the ids that it published."""

    terminal: HandWrittenTerminal
    source: HandWrittenSource
    poller: Poller
    feeds: dict[str, Feed]
    published: list[int] = field(default_factory=list)


def make_rig(
    *symbols: str,
    offset_ms: int = 0,
    options: Options | None = None,
    name: str = "hand",
    ttl_ms: int = 60_000,
    gate: Gate | None = None,
) -> Rig:
    """Register a source whose feeds begin at noon UTC and load its poller."""
    terminal = HandWrittenTerminal()
    rule = zones.fixed(offset_ms)
    source = HandWrittenSource(terminal, symbols, now_msc=NOON_MSC, clock=rule)
    row = sources.register(
        Description(
            name=name,
            spec="hand:",
            scheme="hand",
            server_name="hand-written",
            is_replay=False,
            clock=rule,
            clock_evidence="set by the test",
        ),
        now_msc=NOON_MSC,
    )
    feeds = sources.register_feeds(source=row, symbols=[SymbolDescription(s, 5, True, NOON_MSC) for s in symbols])
    target = Target(
        source_id=row.pk,
        name=row.name,
        epochs=reference.epochs(source_id=row.pk),
        place=0,
        feeds={feed.symbol: (feed.pk, feed.begins_msc) for feed in feeds},
    )
    lease = leases.acquire(source_id=row.pk, holder="test", ttl_ms=ttl_ms)
    published: list[int] = []
    poller = Poller(
        source=source,
        target=target,
        lease=lease,
        publish=published.append,
        options=options or Options(page_ticks=1000),
        gate=gate,
    )
    poller.load()
    return Rig(terminal, source, poller, {feed.symbol: feed for feed in feeds}, published)
