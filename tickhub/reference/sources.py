"""Registers sources, their clocks, feeds and instruments. Sole writer of the reference tables."""

from dataclasses import dataclass

from django.db import connection, transaction

from tickhub.audit import ledger as audit
from tickhub.core import clock, zones
from tickhub.core.errors import UsageError
from tickhub.core.zones import ClockRule
from tickhub.reference import calendars, codes
from tickhub.reference.models import ClockEpoch, Feed, Instrument, Source

# How far ahead epochs are written: a source that is started once in two years knows its next switch.
_AHEAD_MS = 730 * clock.DAY_MS


@dataclass(frozen=True, slots=True)
class Description:
    """What a source says of itself when it is opened; a ``priority`` of None leaves a known source's own."""

    name: str
    spec: str
    scheme: str
    server_name: str
    is_replay: bool
    clock: ClockRule
    clock_evidence: str
    # None leaves the priority as it is.
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class SymbolDescription:
    """What a terminal says of one symbol; ``begins_msc`` is UTC. Without ``instrument`` it is the symbol itself."""

    symbol: str
    digits: int
    is_quoted: bool
    begins_msc: int
    instrument: str | None = None
    mapped_by: str = "the symbol itself"


def register(description: Description, *, now_msc: int) -> Source:
    """Create or refresh a source and its clock's epochs, up to two years after ``now_msc`` (the host's, UTC).

    :raises UsageError: if the source is known under another clock
    """
    with transaction.atomic(durable=True):
        known = Source.objects.select_for_update().filter(name=description.name).first()
        if known and known.clock != description.clock.text:
            # Before anything is written: a refused SPEC must leave no trace.
            msg = (
                f"source {known.name}: its clock is {known.clock} and cannot become {description.clock.text}; "
                f"give the source another name= to capture it anew, or correct what is stored with `correct_clock`"
            )
            raise UsageError(msg)
        source, _ = Source.objects.update_or_create(
            name=description.name,
            defaults={
                "spec": description.spec,
                "scheme": description.scheme,
                "server_name": description.server_name,
                "is_replay": description.is_replay,
                "clock": description.clock.text,
            }
            | ({} if description.priority is None else {"priority": description.priority}),
        )
        _extend_epochs(source, description.clock, description.clock_evidence, now_msc + _AHEAD_MS)
    return source


def extend_epochs(*, source: Source, now_msc: int) -> None:
    """Add the epochs of a known source's clock, up to two years after ``now_msc`` (the host's, UTC)."""
    with transaction.atomic(durable=True):
        known = Source.objects.select_for_update().get(pk=source.pk)
        _extend_epochs(known, zones.parse(known.clock), "configured", now_msc + _AHEAD_MS)


def _extend_epochs(source: Source, rule: ClockRule, evidence: str, to_msc: int) -> None:
    """Add the epochs that the rule makes after the last one known; what is known is never changed here."""
    last = source.epochs.order_by("-starts_msc").first()
    begin = 0 if last is None else last.starts_msc
    added = [
        (start, offset_ms) for start, offset_ms in rule.epochs(begin, to_msc) if last is None or start > last.starts_msc
    ]
    if not added:
        return
    ClockEpoch.objects.bulk_create(
        ClockEpoch(source=source, starts_msc=start, offset_ms=offset_ms, evidence=evidence)
        for start, offset_ms in added
    )
    audit.record(
        actor=audit.SYSTEM,
        action="CLOCK_EPOCHS_ADDED",
        about=f"source {source.name}",
        details={"clock": rule.text, "evidence": evidence, "epochs": added},
    )


_RECORD_UNSURE = """
INSERT INTO reference_unsurepass AS known (epoch_id, feed_id, from_msc, to_msc) VALUES (%s, %s, %s, %s)
ON CONFLICT (epoch_id, feed_id) DO UPDATE
SET from_msc = least(known.from_msc, excluded.from_msc), to_msc = greatest(known.to_msc, excluded.to_msc)
"""


def record_unsure(*, epoch_id: int, feed_id: int, from_msc: int, to_msc: int) -> None:
    """Record which wall clock of a repeated hour was not captured of a feed in its first pass; it only widens."""
    with connection.cursor() as cursor:
        cursor.execute(_RECORD_UNSURE, [epoch_id, feed_id, from_msc, to_msc])


def begin_earlier(*, feed_id: int, from_msc: int, to_msc: int) -> bool:
    """Move a feed's begin back to ``from_msc`` where ``[from_msc, to_msc)`` reaches it: that period is captured now.

    Return whether it was moved.
    """
    rows = Feed.objects.filter(pk=feed_id, begins_msc__gt=from_msc, begins_msc__lte=to_msc)
    return bool(rows.update(begins_msc=from_msc))


def describe_agent(*, source: Source, server_name: str, is_replay: bool, priority: int | None) -> None:
    """Record what an agent says of its terminal; a ``priority`` of None leaves the source's own."""
    changed = {} if priority is None else {"priority": priority}
    Source.objects.filter(pk=source.pk).update(server_name=server_name, is_replay=is_replay, **changed)


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
    """Create the feeds and instruments that are missing; what exists keeps its facts.

    :raises UsageError: if a feed is known as another instrument
    """
    feeds = []
    with transaction.atomic(durable=True):
        calendars.ensure()
        for described in symbols:
            instrument, _ = Instrument.objects.get_or_create(
                code=described.instrument or codes.canonical(described.symbol),
                defaults={
                    "digits": described.digits,
                    "price_basis": Instrument.PriceBasis.QUOTE if described.is_quoted else Instrument.PriceBasis.LAST,
                },
            )
            calendars.choose(instrument)
            feed, _ = Feed.objects.select_related("instrument").get_or_create(
                source=source,
                symbol=described.symbol,
                defaults={
                    "instrument": instrument,
                    "begins_msc": described.begins_msc,
                    "mapped_by": described.mapped_by,
                },
            )
            if feed.instrument != instrument:
                msg = (
                    f"source {source.name}: its symbol {feed.symbol} is the instrument {feed.instrument} and cannot "
                    f"become {instrument.code}; give the source another name= to capture it anew"
                )
                raise UsageError(msg)
            feeds.append(feed)
    return feeds
