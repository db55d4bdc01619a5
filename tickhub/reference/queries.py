"""Reads of the reference data."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from django.db.models import QuerySet

from tickhub.core import zones
from tickhub.core.calendars import Calendar
from tickhub.core.errors import UsageError
from tickhub.core.symbols import SIM_SERVER, SymbolFacts
from tickhub.core.zones import Epochs
from tickhub.reference import calendars
from tickhub.reference.models import ClockEpoch, Feed, FeedFact, Instrument, Source


@dataclass(frozen=True, slots=True)
class FeedFacts:
    """What judging needs to know of a feed's instrument.

    A calendar of None is an unknown session, an ``instrument_id`` of None one that is in no database.
    """

    feed_id: int
    digits: int
    is_quoted: bool
    negative_prices: bool
    instrument_id: int | None = None
    calendar: Calendar | None = None


def feed_facts(feed_ids: Iterable[int]) -> dict[int, FeedFacts]:
    """Return the facts of the feeds that exist.

    :raises tickhub.core.calendars.InvalidCalendar: if a calendar's texts cannot be read
    """
    wanted = Feed.objects.filter(pk__in=list(feed_ids))
    rows = wanted.select_related("source", "instrument__calendar").order_by("pk")
    return {
        feed.pk: FeedFacts(
            feed_id=feed.pk,
            digits=feed.instrument.digits,
            is_quoted=feed.instrument.price_basis == Instrument.PriceBasis.QUOTE,
            negative_prices=feed.instrument.negative_prices,
            instrument_id=feed.instrument_id,
            calendar=calendar_of(feed),
        )
        for feed in rows
    }


def instrument(*, code: str) -> Instrument | None:
    """Return an instrument by its code, None where there is none."""
    return Instrument.objects.filter(code=code).first()


def calendar_of(feed: Feed) -> Calendar | None:
    """Return the calendar of a feed, given with source and instrument; None: its session is not known.

    The generated market never closes, whatever its instruments are called.

    :raises tickhub.core.calendars.InvalidCalendar: if its texts cannot be read
    """
    row = feed.instrument.calendar
    is_generated = feed.source.scheme == "sim" or feed.source.server_name == SIM_SERVER
    return None if row is None or is_generated else calendars.read(row)


def feeds(*, source: str | None = None, symbol: str | None = None) -> QuerySet[Feed]:
    """Return feeds with their sources and instruments, by source and symbol."""
    rows = Feed.objects.select_related("source", "instrument__calendar").order_by("source_id", "symbol")
    if source is not None:
        rows = rows.filter(source__name=source)
    if symbol is not None:
        rows = rows.filter(symbol=symbol)
    return rows


def sources(*, name: str | None = None, source_id: int | None = None) -> QuerySet[Source]:
    """Return sources by priority and name."""
    rows = Source.objects.order_by("priority", "name")
    if source_id is not None:
        rows = rows.filter(pk=source_id)
    return rows if name is None else rows.filter(name=name)


def feed(*, feed_id: int) -> Feed | None:
    """Return a feed with its source and instrument, None where there is none."""
    return Feed.objects.select_related("source", "instrument").filter(pk=feed_id).first()


def source_of_feed(*, feed_id: int) -> Source:
    """Return the source of a feed.

    :raises Feed.DoesNotExist: if there is none
    """
    return Feed.objects.select_related("source").get(pk=feed_id).source


def one_feed(*, symbol: str, source: str | None) -> Feed:
    """Return the only feed of a symbol, or, where no source calls anything so, of an instrument of that code.

    :raises UsageError: if there is none, or several and no source is given
    """
    found = list(feeds(source=source, symbol=symbol)) or list(feeds(source=source).filter(instrument__code=symbol))
    where = f" of source {source}" if source else ""
    if not found:
        known = ", ".join(sorted({feed.symbol for feed in feeds(source=source)})) or "none"
        msg = f"symbol {symbol}{where} is not known; known: {known}"
        raise UsageError(msg)
    if len(found) > 1:
        msg = f"symbol {symbol} is held by several sources, choose one with --source: " + ", ".join(
            feed.source.name for feed in found
        )
        raise UsageError(msg)
    return found[0]


def epoch_offset_ms(*, epoch_id: int) -> int:
    """Return the terminal clock minus UTC of an epoch, in milliseconds.

    :raises ClockEpoch.DoesNotExist: if there is none
    """
    return ClockEpoch.objects.get(pk=epoch_id).offset_ms


def unsure(*, epoch_id: int) -> dict[int, tuple[int, int]]:
    """Return the wall clock of an epoch's repeated hour whose first pass was not captured, by feed where there is any.

    :raises ClockEpoch.DoesNotExist: if there is no such epoch
    """
    rows = ClockEpoch.objects.get(pk=epoch_id).unsure_passes.order_by("feed_id")
    return {feed_id: (low, high) for feed_id, low, high in rows.values_list("feed_id", "from_msc", "to_msc")}


def epochs(*, source_id: int) -> Epochs:
    """Return the clock epochs of a source.

    :raises ValueError: if it has none
    """
    rows = ClockEpoch.objects.filter(source_id=source_id).order_by("starts_msc")
    return zones.epochs_of(list(rows.values_list("pk", "starts_msc", "offset_ms")))


@dataclass(frozen=True, slots=True)
class FactHistory:
    """What a terminal said of one feed, and how it changed: ``(id of the newer fact, {name: [before, after]})``."""

    feed: Feed
    newest: SymbolFacts
    changes: tuple[tuple[int, dict[str, list[object]]], ...]


def fact_histories() -> list[FactHistory]:
    """Return the facts of every feed of which a terminal has said something, by feed."""
    rows: dict[int, list[FeedFact]] = {}
    for row in FeedFact.objects.select_related("feed__instrument", "feed__source").order_by("feed_id", "id"):
        rows.setdefault(row.feed_id, []).append(row)
    return [
        FactHistory(
            feed=of_feed[-1].feed,
            newest=SymbolFacts.of(of_feed[-1]),
            changes=tuple((b.pk, SymbolFacts.of(b).differences(SymbolFacts.of(a))) for a, b in pairwise(of_feed)),
        )
        for of_feed in rows.values()
    ]
