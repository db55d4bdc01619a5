"""Checks what an agent says of itself against the source that its token is bound to, and registers its symbols."""

from dataclasses import replace

from ingest import epochstart, firstpass
from ingest.sources.terminal import SAME
from ingest.target import Target
from ingest.wire import closing, limits
from ingest.wire.closing import Closing, Malformed
from ingest.wire.messages import Hello, Symbol, WireEpoch
from tickhub.core import clock, zones
from tickhub.core.errors import UsageError
from tickhub.core.zones import Epochs
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
    """Register what is new of a source's agent and return what its first poller needs.

    :raises Closing: if the agent is on another clock or server than the source, or says that a known symbol is another
        instrument, or the clock is being corrected
    """
    if corrections.unfinished(source_name=source.name) is not None:
        raise Closing(CORRECTING, f"source {source.name}: a correction of its clock is not finished")
    sources.extend_epochs(source=source, now_msc=clock.now_msc())
    epochs = reference.epochs(source_id=source.pk)
    _check_clock(source, hello, epochs)
    if source.server_name not in ("", hello.server_name):
        raise Closing(
            closing.OTHER_SOURCE, f"source {source.name} is of server {source.server_name}, not {hello.server_name}"
        )
    _check_count(source, hello)
    told_ms = told_offset_ms(hello, epochs)
    try:
        feeds = sources.register_feeds(source=source, symbols=[_described(s, told_ms) for s in hello.symbols])
    except UsageError as error:
        raise Closing(closing.OTHER_SOURCE, str(error)) from error
    sources.describe_agent(
        source=source, server_name=hello.server_name, is_replay=hello.is_replay, priority=hello.priority
    )
    begins = {feed.symbol: (feed.pk, feed.begins_msc) for feed in feeds}
    place = epochstart.first_place(source_id=source.pk, epochs=epochs, feeds=begins)
    target = Target(source_id=source.pk, name=source.name, epochs=epochs, place=place, feeds=begins)
    firstpass.note_beginning(target)
    return at_place(target, place)


def at_place(target: Target, place: int) -> Target:
    """Return a source's target during another epoch of its clock."""
    return replace(target, place=place, unsure=reference.unsure(epoch_id=target.epochs.rows[place].epoch_id))


def told_offset_ms(hello: Hello, epochs: Epochs) -> int:
    """Return how far the times of a hello are from UTC: not at all where it tells the rule of the clock."""
    return 0 if hello.clock is not None else epochs.rows[0].offset_ms


def wire_epoch(target: Target) -> WireEpoch:
    """Return what an agent has to know of a target's epoch."""
    is_last = target.place + 1 == len(target.epochs.rows)
    ends_msc = target.epoch.ends_msc + target.offset_ms
    own = target.epochs.repeated(target.place)
    return WireEpoch(
        offset_ms=target.offset_ms,
        ends_msc=None if is_last else ends_msc,
        until_msc=None if is_last else ends_msc + target.epochs.skipped_ms(target.place),
        mixed_until_msc=own[1] if own else None,
    )


def _check_clock(source: Source, hello: Hello, epochs: Epochs) -> None:
    if hello.clock is not None:
        if _rule(hello.clock) != _rule(source.clock):
            raise Closing(
                closing.OTHER_SOURCE, f"the agent's clock is {hello.clock}, that of {source.name} {source.clock}"
            )
        return
    if len(epochs.rows) > 1:
        raise Closing(
            closing.OTHER_SOURCE,
            f"source {source.name}: its clock {source.clock} is switched: the hello has to tell it as `clock`",
        )
    offset_ms = epochs.rows[0].offset_ms
    if hello.offset_ms not in (None, offset_ms):
        raise Closing(
            closing.OTHER_SOURCE,
            f"the agent's clock is {hello.offset_ms} ms from UTC, that of {source.name} {offset_ms} ms",
        )


def _rule(text: str) -> str:
    """Return a rule as it is stored; one that cannot be read is like no other."""
    try:
        return zones.parse(text).text
    except ValueError:
        return ""


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
