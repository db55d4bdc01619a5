"""Registers sources, their clocks, feeds and instruments. Sole writer of the reference tables."""

from dataclasses import dataclass

from django.db import transaction

from tickhub.core.errors import UsageError
from tickhub.reference.models import ClockEpoch, Feed, Instrument, Source


@dataclass(frozen=True, slots=True)
class Description:
    """What a source says of itself when it is opened."""

    name: str
    spec: str
    scheme: str
    server_name: str
    is_replay: bool
    offset_ms: int
    clock_evidence: str


@dataclass(frozen=True, slots=True)
class SymbolDescription:
    """What a terminal says of one symbol; ``begins_msc`` is UTC."""

    symbol: str
    digits: int
    is_quoted: bool
    begins_msc: int


def register(description: Description) -> tuple[Source, ClockEpoch]:
    """Create or refresh a source and its clock epoch.

    :raises UsageError: if the source is known under another clock
    """
    with transaction.atomic(durable=True):
        known = Source.objects.select_for_update().filter(name=description.name).first()
        epoch = known.epochs.order_by("-starts_msc").first() if known else None
        if known and epoch and epoch.offset_ms != description.offset_ms:
            # Before anything is written: a refused SPEC must leave no trace.
            msg = (
                f"source {known.name}: its clock is {epoch.offset_ms} ms from UTC and cannot become "
                f"{description.offset_ms} ms; give the source another name= to capture it anew"
            )
            raise UsageError(msg)
        source, _ = Source.objects.update_or_create(
            name=description.name,
            defaults={
                "spec": description.spec,
                "scheme": description.scheme,
                "server_name": description.server_name,
                "is_replay": description.is_replay,
            },
        )
        if epoch is None:
            # The first epoch holds for all that came before it too.
            epoch = ClockEpoch.objects.create(
                source=source,
                starts_msc=0,
                offset_ms=description.offset_ms,
                evidence=description.clock_evidence,
            )
    return source, epoch


def describe_agent(*, source: Source, server_name: str, is_replay: bool) -> None:
    """Record what an agent says of its terminal."""
    Source.objects.filter(pk=source.pk).update(server_name=server_name, is_replay=is_replay)


def set_playback(*, source: Source, origin_msc: int, start_msc: int) -> None:
    """Record where playback began, once: a restart continues from the same origin.

    :raises RuntimeError: if another origin is recorded already
    """
    changed = Source.objects.filter(pk=source.pk, playback_origin_msc=None).update(
        playback_origin_msc=origin_msc, playback_start_msc=start_msc
    )
    if changed != 1:
        msg = f"source {source.name}: its playback origin is recorded already"
        raise RuntimeError(msg)


def register_feeds(*, source: Source, symbols: list[SymbolDescription]) -> list[Feed]:
    """Create the feeds and instruments that are missing; what exists keeps its facts."""
    feeds = []
    with transaction.atomic(durable=True):
        for described in symbols:
            instrument, _ = Instrument.objects.get_or_create(
                code=described.symbol,
                defaults={
                    "digits": described.digits,
                    "price_basis": Instrument.PriceBasis.QUOTE if described.is_quoted else Instrument.PriceBasis.LAST,
                },
            )
            feed, _ = Feed.objects.get_or_create(
                source=source,
                symbol=described.symbol,
                defaults={"instrument": instrument, "begins_msc": described.begins_msc},
            )
            feeds.append(feed)
    return feeds
