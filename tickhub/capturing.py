"""Wires a SPEC to a poller: opens the source, registers it, takes its lease, and polls until told to stop."""

import logging
import os
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Max

from ingest import cursors, heartbeat, leases
from ingest.connections import ConnectionLog
from ingest.models import Cursor
from ingest.poller import Poller
from ingest.sources import opening
from ingest.sources import spec as specs
from ingest.sources.breaker import Breaker
from ingest.sources.opening import Playback
from ingest.sources.session import WrongAccount
from ingest.sources.spec import ReplaySpec, SourceSpec
from ingest.sources.terminal import Health, Link, OpenSource
from ingest.symbolfacts import FactLog
from ingest.target import Options, Target
from tickhub import publishing
from tickhub.core import clock
from tickhub.core.errors import TransientError
from tickhub.reference import sources
from tickhub.reference.models import ClockEpoch, Source
from tickhub.reference.sources import Description, SymbolDescription

logger = logging.getLogger(__name__)

# After an error at commit: first wait and longest wait, doubled in between, with full jitter.
_BACK_OFF_S = (0.1, 5.0)
# How long the last settling pass is tried again after being told to stop.
_SETTLE_S = 10.0
# A poll that brought so many ticks is behind: the next one follows at once.
_BUSY_TICKS = 8_192


@dataclass(frozen=True, slots=True)
class Ending:
    """When a poller ends by itself: when its recording is played, or so many seconds after its first poll."""

    until_drained: bool = False
    for_s: float | None = None


def prepare(spec: SourceSpec, *, origin_msc: int | None) -> tuple[OpenSource, Target]:
    """Open a source and register it with its clock, feeds and playback origin.

    :raises tickhub.core.errors.UsageError: if the source cannot be opened, or is known under another clock
    :raises ingest.sources.session.TerminalUnavailable: if a real terminal does not answer
    """
    playback = _playback(spec, origin_msc)
    source = opening.open_source(spec, playback=playback)
    row, epoch = sources.register(
        Description(
            name=spec.identity,
            spec=_portable(spec),
            scheme=spec.scheme,
            server_name=source.server_name,
            is_replay=source.is_replay,
            offset_ms=source.offset_ms,
            clock_evidence="configured" if spec.clock_offset_ms is not None else "UTC by definition of the scheme",
            priority=source.priority,
        )
    )
    if row.playback_origin_msc is None:
        sources.set_playback(source=row, origin_msc=playback.origin_msc, start_msc=source.start_msc)
    return source, _target(spec, source, row, epoch)


def _portable(spec: SourceSpec) -> str:
    """Return the SPEC as it is understood from any folder."""
    if not isinstance(spec, ReplaySpec):
        return spec.text
    _, has_query, query = spec.text.partition("?")
    return f"replay:{quote(str(spec.path.resolve()))}{has_query}{query}"


def _playback(spec: SourceSpec, origin_msc: int | None) -> Playback:
    """Return where playback stands: a known source continues from the origin in its row."""
    row = Source.objects.filter(name=spec.identity).first()
    if row is None or row.playback_origin_msc is None:
        return Playback(origin_msc=origin_msc or clock.now_msc(), start_msc=None, reached_msc=None)
    reached = Cursor.objects.filter(feed__source=row).aggregate(reached=Max("last_msc"))["reached"]
    return Playback(origin_msc=row.playback_origin_msc, start_msc=row.playback_start_msc, reached_msc=reached)


def _target(spec: SourceSpec, source: OpenSource, row: Source, epoch: ClockEpoch) -> Target:
    now_msc = source.begin_poll()
    offset_ms = epoch.offset_ms
    described = []
    for symbol in source.symbols:
        begins_msc = spec.begins_msc if spec.begins_msc is not None else source.begins_msc(symbol, now_msc) - offset_ms
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
    return Target(
        source_id=row.pk,
        name=row.name,
        epoch_id=epoch.pk,
        offset_ms=offset_ms,
        feeds={feed.symbol: (feed.pk, feed.begins_msc + offset_ms) for feed in feeds},
    )


def run(
    spec_text: str,
    *,
    ending: Ending,
    origin_msc: int | None,
    should_stop: Callable[[], bool],
    publish: Callable[[int], object] | None = None,
) -> int:
    """Capture one source until it ends or is told to stop; then settle the last hour. Return the ticks captured.

    :raises tickhub.core.errors.UsageError: if the SPEC cannot be used
    :raises ingest.leases.LeaseLost: if another poller took over
    """
    spec = specs.parse(spec_text)
    opened = _open(spec, origin_msc, should_stop)
    if opened is None:
        return 0
    source, target = opened
    for note in source.notes:
        logger.warning("left out", extra={"source": target.name, "what": note})
    lease = _acquire(target, should_stop)
    if lease is None:
        return 0
    if lease.fence > 1:
        # Another poller may have gone on while this one waited: playback stands where that one left it.
        source, target = prepare(spec, origin_msc=origin_msc)
    poller = Poller(
        source=source,
        target=target,
        lease=lease,
        publish=publish or publishing.Publisher().publish,
        options=Options(
            interval_ms=settings.POLL_INTERVAL_MS,
            page_ticks=settings.PAGE_TICKS,
            publish_again_ms=settings.PUBLISH_AGAIN_MS,
        ),
    )
    repeat(poller, lambda: 0, should_stop)
    logger.info("polling", extra={"source": target.name, "fence": lease.fence, "symbols": len(source.symbols)})
    log = ConnectionLog(source_id=target.source_id, name=target.name)
    if lease.silent_from_msc is not None:
        log.note_silence(from_msc=lease.silent_from_msc)
    try:
        _loop(poller, ending, should_stop, log)
        # Told to stop or not, what the terminal shows by now is captured before the poller ends.
        repeat(poller, lambda: _finish(poller), _out_of_patience(should_stop))
    except WrongAccount:
        _note(poller, log)
        leases.release(lease)
        raise
    finally:
        log.write()
    leases.release(lease)
    return poller.captured


def _open(
    spec: SourceSpec, origin_msc: int | None, should_stop: Callable[[], bool]
) -> tuple[OpenSource, Target] | None:
    """Open the source, again and again while its terminal does not answer; None if told to stop meanwhile."""
    breaker = Breaker()
    # A source that is known already has its absence on record.
    known = Source.objects.filter(name=spec.identity).first()
    log = ConnectionLog(source_id=known.pk, name=known.name) if known else None
    while True:
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


def _acquire(target: Target, should_stop: Callable[[], bool]) -> leases.Held | None:
    """Wait until the source's lease is free; None if told to stop meanwhile."""
    holder = f"{socket.gethostname()} pid {os.getpid()}"
    is_told = False
    while not should_stop():
        try:
            return leases.acquire(source_id=target.source_id, holder=holder, ttl_ms=settings.LEASE_TTL_MS)
        except leases.LeaseHeld as error:
            if not is_told:
                logger.info("waiting for the lease", extra={"source": target.name, "reason": str(error)})
            is_told = True
            heartbeat.beat()
            clock.sleep(0.1)
    return None


def _loop(poller: Poller, ending: Ending, should_stop: Callable[[], bool], log: ConnectionLog) -> None:
    started_s = clock.monotonic_s()
    interval_s = poller.options.interval_ms / 1000
    facts = FactLog(poller.target)
    while not should_stop():
        begun_s = clock.monotonic_s()
        saved = repeat(poller, lambda: _poll(poller), should_stop)
        _note(poller, log)
        facts.note(poller.source.facts())
        if ending.for_s is not None and clock.monotonic_s() - started_s >= ending.for_s:
            return
        if saved == 0 and ending.until_drained and poller.source.is_exhausted() and poller.sees_all:
            return
        if saved < _BUSY_TICKS:
            clock.sleep(interval_s - (clock.monotonic_s() - begun_s))


def _note(poller: Poller, log: ConnectionLog) -> None:
    has_failed = [state.error is not None for state in poller.states]
    log.note(poller.source.health(), is_ok=not any(has_failed), answers=not all(has_failed))


def _poll(poller: Poller) -> int:
    """Poll once and, unless the poller is behind with the present, go one step on with the pass over the past."""
    saved = poller.poll()
    if poller.synchroniser.is_waiting or (saved >= _BUSY_TICKS and not poller.settler.is_overdue):
        return saved
    return saved + poller.settler.step(poller.states, now_msc=poller.now_msc)


def _finish(poller: Poller) -> int:
    saved = poller.poll()
    if poller.synchroniser.is_waiting:
        # A past that is not whole says nothing; the next poller passes over it.
        return saved
    return saved + poller.settler.run(poller.states, now_msc=poller.now_msc)


def _out_of_patience(should_stop: Callable[[], bool]) -> Callable[[], bool]:
    """Return what says when to give up settling: some time after being told to stop, as the database may be gone."""
    told_s: list[float] = []

    def is_over() -> bool:
        if not told_s and should_stop():
            told_s.append(clock.monotonic_s())
        return bool(told_s) and clock.monotonic_s() - told_s[0] > _SETTLE_S

    return is_over


def repeat(poller: Poller, action: Callable[[], int | None], should_stop: Callable[[], bool]) -> int:
    """Run an action; after a database error wait, read the cursors again and repeat it.

    What a failed action left behind is remembered by the poller, so that no later one goes on from it.
    """
    wait_s = _BACK_OFF_S[0]
    while True:
        heartbeat.beat()
        try:
            if poller.is_stale:
                poller.load()
            poller.is_stale = True
            done = action() or 0
        except (DatabaseError, InterfaceError, cursors.CursorMoved) as error:
            logger.warning(
                "poll rolled back", extra={"source": poller.target.name, "error": str(error).split("\n", 1)[0]}
            )
            connection.close()
        else:
            poller.is_stale = False
            return done
        if should_stop():
            return 0
        clock.sleep(random.uniform(0, wait_s))  # noqa: S311  # jitter, no secret
        wait_s = min(wait_s * 2, _BACK_OFF_S[1])
