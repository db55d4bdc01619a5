"""Opens the source that a SPEC names, registers it with its clock and feeds, and takes its lease."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from django.conf import settings

from ingest import heartbeat, leases, queries
from ingest.connections import ConnectionLog
from ingest.sources import opening
from ingest.sources import spec as specs
from ingest.sources.breaker import Breaker
from ingest.sources.opening import Playback
from ingest.sources.session import WrongAccount
from ingest.sources.spec import PlayedSpec, SourceSpec
from ingest.sources.terminal import Health, Link, OpenSource
from ingest.target import Target
from tickhub.core import clock, zones
from tickhub.core.errors import TransientError
from tickhub.core.zones import Epochs
from tickhub.reference import corrections, sources
from tickhub.reference import queries as reference
from tickhub.reference.models import Source
from tickhub.reference.sources import Description, SymbolDescription
from tickhub.repeating import insist

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Registered:
    """A source as it stands in the database: its clock's epochs, and its feeds' ids and begins (UTC) by symbol."""

    source_id: int
    name: str
    epochs: Epochs
    feeds: dict[str, tuple[int, int]]

    def target(self, place: int) -> Target:
        """Return what a poller captures during one epoch."""
        unsure = reference.unsure(epoch_id=self.epochs.rows[place].epoch_id)
        return Target(self.source_id, self.name, self.epochs, place, self.feeds, unsure)


def prepare(
    spec: SourceSpec, *, origin_msc: int | None, opened: OpenSource | None = None
) -> tuple[OpenSource, Registered]:
    """Open a source and register it with its clock, feeds and playback origin.

    ``opened`` is what an earlier call of this process returned: it is brought to where the source stands by now.

    :raises tickhub.core.errors.UsageError: if the source cannot be opened, or is known under another clock
    :raises ingest.sources.session.TerminalUnavailable: if a real terminal does not answer
    """
    corrections.refuse_unfinished(source_name=spec.identity)
    playback = _playback(spec, origin_msc)
    if opened is None:
        source = opening.open_source(spec, playback=playback)
    else:
        source = opening.stand_again(opened, spec, playback=playback)
    row = sources.register(
        Description(
            name=spec.identity,
            spec=_portable(spec),
            scheme=spec.scheme,
            server_name=source.server_name,
            is_replay=source.is_replay,
            clock=source.clock,
            priority=source.priority if spec.priority is None else spec.priority,
            clock_evidence=_evidence(spec, source),
        ),
        now_msc=clock.now_msc(),
    )
    if row.playback_origin_msc is None:
        sources.set_playback(source=row, origin_msc=playback.origin_msc, start_msc=source.start_msc)
    return source, _registered(spec, source, row)


def _evidence(spec: SourceSpec, source: OpenSource) -> str:
    """Say how the clock is known."""
    if spec.clock is None and source.clock == zones.UTC:
        return "UTC by definition of the scheme"
    return f"configured: {source.clock.text}"


def _portable(spec: SourceSpec) -> str:
    """Return the SPEC as it is understood from any folder."""
    if not isinstance(spec, PlayedSpec):
        return spec.text
    _, has_query, query = spec.text.partition("?")
    return f"{spec.scheme}:{quote(str(spec.path.resolve()))}{has_query}{query}"


def _playback(spec: SourceSpec, origin_msc: int | None) -> Playback:
    """Return where playback stands: a known source continues from the origin in its row."""
    row = Source.objects.filter(name=spec.identity).first()
    if row is None or row.playback_origin_msc is None:
        return Playback(origin_msc=origin_msc or clock.now_msc(), start_msc=None, reached_msc=None)
    specs.check_scale(spec, row.spec)
    return Playback(
        origin_msc=row.playback_origin_msc,
        start_msc=row.playback_start_msc,
        reached_msc=queries.reached_msc(source_id=row.pk),
    )


def _registered(spec: SourceSpec, source: OpenSource, row: Source) -> Registered:
    described = []
    for symbol in source.symbols:
        begins_msc = spec.begins_msc if spec.begins_msc is not None else source.begins_msc(symbol, source.start_msc)
        described.append(
            SymbolDescription(
                symbol=symbol,
                digits=source.digits(symbol),
                is_quoted=source.is_quoted(symbol),
                begins_msc=begins_msc,
                instrument=source.instrument(symbol).code,
                mapped_by=source.instrument(symbol).rule,
            )
        )
    feeds = sources.register_feeds(source=row, symbols=described)
    return Registered(
        source_id=row.pk,
        name=row.name,
        epochs=reference.epochs(source_id=row.pk),
        feeds={feed.symbol: (feed.pk, feed.begins_msc) for feed in feeds},
    )


def open_patiently(
    spec: SourceSpec, origin_msc: int | None, should_stop: Callable[[], bool]
) -> tuple[OpenSource, Registered] | None:
    """Open the source, again and again while its terminal does not answer; None if told to stop meanwhile."""
    breaker = Breaker()
    # A source that is known already has its absence on record.
    known = Source.objects.filter(name=spec.identity).first()
    log = ConnectionLog(source_id=known.pk, name=known.name) if known else None
    while True:
        heartbeat.beat()
        try:
            opened = prepare(spec, origin_msc=origin_msc)
        except WrongAccount:
            if log is not None:
                log.note(Health(Link.WRONG_ACCOUNT), is_ok=False, answers=True)
                log.write()
            raise
        except TransientError as error:
            breaker.failed()
            logger.warning(
                "terminal not available",
                extra={"source": spec.identity, "error": str(error), "circuit": breaker.circuit.value},
            )
        else:
            if log is not None:
                log.write()
            return opened
        while breaker.remaining_s() > 0 and not should_stop():
            heartbeat.beat()
            if log is not None:
                health = Health(Link.IPC_LOST, breaker.circuit, breaker.failures)
                log.note(health, is_ok=False, answers=False)
            clock.sleep(min(breaker.remaining_s(), 0.1))
        if should_stop():
            return None


def acquire(registered: Registered, should_stop: Callable[[], bool]) -> leases.Held | None:
    """Wait until the source's lease is free; None if told to stop meanwhile."""
    holder = leases.holder_of(os.getpid())
    is_told = False
    while not should_stop():
        try:
            return insist(
                lambda: leases.acquire(source_id=registered.source_id, holder=holder, ttl_ms=settings.LEASE_TTL_MS),
                should_stop,
                what="lease not taken",
            )
        except leases.LeaseHeld as error:
            if not is_told:
                logger.info("waiting for the lease", extra={"source": registered.name, "reason": str(error)})
            is_told = True
            heartbeat.beat()
            clock.sleep(0.1)
    return None
