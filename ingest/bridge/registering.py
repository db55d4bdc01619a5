"""Checks what an agent says of itself against the source that its token is bound to, and registers its symbols."""

from ingest.sources.terminal import SAME
from ingest.target import Target
from ingest.wire import closing, limits
from ingest.wire.closing import Closing, Malformed
from ingest.wire.messages import Hello, Symbol
from tickhub.core.errors import UsageError
from tickhub.reference import corrections, sources
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed, Source
from tickhub.reference.sources import SymbolDescription

# The code with which agents are refused while a correction of their source's clock is under way.
CORRECTING = closing.TRY_LATER
_FEEDS_MOST = 2 * limits.SYMBOLS


def check(hello: Hello) -> None:
    """Check what needs no database.

    :raises Closing: if the protocol is another one, or a symbol is given twice or none
    """
    if hello.protocol != limits.PROTOCOL:
        raise Closing(
            closing.OTHER_PROTOCOL,
            f"protocol {hello.protocol} is not spoken here, this bridge speaks {limits.PROTOCOL}",
        )
    symbols = [described.symbol for described in hello.symbols]
    if not symbols or len(set(symbols)) < len(symbols):
        raise Malformed("hello: symbols: expected at least one, each once")
    codes = [described.instrument or described.symbol for described in hello.symbols]
    if any(text != text.strip() for text in symbols + codes):
        raise Malformed("hello: symbols: one has blanks at an end")
    if len(set(codes)) < len(codes):
        raise Malformed("hello: symbols: two would be the same instrument")


def register(source: Source, hello: Hello) -> Target:
    """Register what is new of a source's agent and return what its poller needs.

    :raises Closing: if the agent is on another clock or server than the source, or says that a known symbol is another
        instrument, or the clock is being corrected
    """
    if corrections.unfinished(source_name=source.name) is not None:
        raise Closing(CORRECTING, f"source {source.name}: a correction of its clock is not finished")
    epochs = reference.epochs(source_id=source.pk)
    if len(epochs.rows) > 1:
        raise Closing(closing.OTHER_SOURCE, f"source {source.name}: an agent's clock has one offset from UTC, always")
    offset_ms = epochs.rows[0].offset_ms
    if hello.offset_ms not in (None, offset_ms):
        raise Closing(
            closing.OTHER_SOURCE,
            f"the agent's clock is {hello.offset_ms} ms from UTC, that of {source.name} {offset_ms} ms",
        )
    if source.server_name not in ("", hello.server_name):
        raise Closing(
            closing.OTHER_SOURCE, f"source {source.name} is of server {source.server_name}, not {hello.server_name}"
        )
    _check_count(source, hello)
    try:
        feeds = sources.register_feeds(source=source, symbols=[_described(s, offset_ms) for s in hello.symbols])
    except UsageError as error:
        raise Closing(closing.OTHER_SOURCE, str(error)) from error
    sources.describe_agent(
        source=source, server_name=hello.server_name, is_replay=hello.is_replay, priority=hello.priority
    )
    return Target(
        source_id=source.pk,
        name=source.name,
        epochs=epochs,
        place=0,
        feeds={feed.symbol: (feed.pk, feed.begins_msc) for feed in feeds},
    )


def _described(said: Symbol, offset_ms: int) -> SymbolDescription:
    return SymbolDescription(
        symbol=said.symbol,
        digits=said.digits,
        is_quoted=said.is_quoted,
        begins_msc=said.begins_msc - offset_ms,
        instrument=said.instrument,
        mapped_by=said.mapped_by or (SAME if said.instrument is None else "the agent"),
    )


def _check_count(source: Source, hello: Hello) -> None:
    known = set(Feed.objects.filter(source=source).order_by("pk").values_list("symbol", flat=True))
    count = len(known | {described.symbol for described in hello.symbols})
    if count > _FEEDS_MOST:
        raise Closing(
            closing.OTHER_SOURCE, f"source {source.name} would have {count} symbols, at most {_FEEDS_MOST} are allowed"
        )
