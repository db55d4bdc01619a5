"""Wires a SPEC to a poller: opens the source, registers it, takes its lease, and polls until told to stop."""

import logging
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import quote

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from ingest import cursors, heartbeat, leases, queries
from ingest.backfill import Backfiller
from ingest.connections import ConnectionLog
from ingest.epochview import AHEAD_MS
from ingest.gate import Closed
from ingest.pastepoch import PastEpoch
from ingest.poller import Poller
from ingest.sources import opening
from ingest.sources import spec as specs
from ingest.sources.breaker import Breaker
from ingest.sources.opening import Playback
from ingest.sources.session import WrongAccount
from ingest.sources.spec import PlayedSpec, SourceSpec
from ingest.sources.terminal import Health, Link, OpenSource
from ingest.symbolfacts import FactLog
from ingest.target import Options, Target
from tickhub import disk, publishing
from tickhub.core import clock, zones
from tickhub.core.errors import TransientError, UsageError
from tickhub.core.zones import Epochs
from tickhub.reference import corrections, sources
from tickhub.reference import queries as reference
from tickhub.reference.models import Source
from tickhub.reference.sources import Description, SymbolDescription
from tickhub.stops import DiskGate

logger = logging.getLogger(__name__)

# After an error at commit: first wait and longest wait, doubled in between, with full jitter.
_BACK_OFF_S = (0.1, 5.0)
# How often it is looked whether something may be saved again.
_CLOSED_S = 0.5
# How long the last settling pass is tried again after being told to stop.
_SETTLE_S = 10.0
# A poll that brought so many ticks is behind: the next one follows at once.
_BUSY_TICKS = 8_192


@dataclass(frozen=True, slots=True)
class Ending:
    """When a poller ends by itself: when its recording is played, or so many seconds after its first poll."""

    until_drained: bool = False
    for_s: float | None = None
    # When capture began, of the monotonic clock.
    started_s: float = 0.0


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
    source, registered = opened
    for note in source.notes:
        logger.warning("left out", extra={"source": registered.name, "what": note})
    lease = _acquire(registered, should_stop)
    if lease is None:
        return 0
    if lease.fence > 1:
        # Another poller may have gone on while this one waited: playback stands where that one left it. Nothing is
        # loaded again: that may take minutes, in which nobody would renew the lease.
        try:
            source, registered = prepare(spec, origin_msc=origin_msc, opened=source)
        except UsageError:
            leases.release(lease)
            raise
    logger.info("polling", extra={"source": registered.name, "fence": lease.fence, "symbols": len(source.symbols)})
    ending = replace(ending, started_s=clock.monotonic_s())
    log = ConnectionLog(source_id=registered.source_id, name=registered.name)
    if lease.silent_from_msc is not None:
        log.note_silence(from_msc=lease.silent_from_msc)
    captured = 0
    try:
        captured = _capture_epochs(_Run(source, registered, lease, publish, log), ending, should_stop)
    except WrongAccount:
        leases.release(lease)
        raise
    finally:
        log.write()
    leases.release(lease)
    return captured


@dataclass(frozen=True, slots=True)
class _Run:
    """What one run of capture works with."""

    source: OpenSource
    registered: Registered
    lease: leases.Held
    publish: Callable[[int], object] | None
    log: ConnectionLog


def _capture_epochs(run: _Run, ending: Ending, should_stop: Callable[[], bool]) -> int:
    """Capture one epoch of the terminal's clock after another; return the ticks captured."""
    place, captured = _first_place(run.registered), 0
    while True:
        poller = _poller(run.source, run.registered.target(place), run.lease, run.publish)
        try:
            is_over = _capture_epoch(poller, ending, should_stop, run.log)
        except WrongAccount:
            _note(poller, run.log)
            raise
        captured += poller.captured
        if not is_over:
            return captured
        if not poller.sees_all:
            logger.warning("an epoch of the clock ended unread: backfill it", extra={"source": run.registered.name})
        _record_unsure(poller)
        place += 1


def backfill_now(source_name: str) -> int:
    """Fulfil the open backfill requests of a source that nobody polls; return the ticks captured.

    :raises leases.LeaseHeld: if its poller runs: that one fulfils them
    :raises tickhub.core.errors.UsageError: if the source cannot be opened here
    """
    row = Source.objects.get(name=source_name)
    held = leases.acquire(source_id=row.pk, holder=leases.holder_of(os.getpid()), ttl_ms=settings.LEASE_TTL_MS)
    try:
        source, registered = prepare(specs.parse(row.spec), origin_msc=None)
        poller = _poller(source, registered.target(_first_place(registered)), held, publish=None)
        poller.load()
        poller.utc_msc = source.begin_poll()
        return Backfiller(poller).run()
    finally:
        leases.release(held)


def _first_place(registered: Registered) -> int:
    """Return the place of the epoch that capture stands in: the newest of any cursor, else that of the first begin."""
    ids = {position.epoch_id for position in cursors.load(source_id=registered.source_id).values()}
    known = [place for place, row in enumerate(registered.epochs.rows) if row.epoch_id in ids]
    if known:
        return max(known)
    return registered.epochs.place_at(min(begins_msc for _, begins_msc in registered.feeds.values()))


def _record_unsure(poller: Poller) -> None:
    """Record which part of an hour that the clock repeats was not read in its first pass."""
    target = poller.target
    zone = target.epochs.repeated(target.place + 1)
    if zone is None:
        return
    following = target.epochs.rows[target.place + 1]
    from_msc = max(poller.seen_msc + target.offset_ms + 1, zone[0])
    to_msc = min(poller.utc_msc + following.offset_ms + AHEAD_MS, zone[1])
    if from_msc < to_msc:
        logger.warning(
            "an hour that the clock repeats was not captured in its first pass",
            extra={"source": target.name, "from_msc": from_msc, "to_msc": to_msc},
        )
        sources.record_unsure(epoch_id=following.epoch_id, from_msc=from_msc, to_msc=to_msc)


def _poller(source: OpenSource, target: Target, lease: leases.Held, publish: Callable[[int], object] | None) -> Poller:
    return Poller(
        source=source,
        target=target,
        lease=lease,
        publish=publish or publishing.Publisher().publish,
        options=Options(
            interval_ms=settings.POLL_INTERVAL_MS,
            page_ticks=settings.PAGE_TICKS,
            publish_again_ms=settings.PUBLISH_AGAIN_MS,
        ),
        gate=DiskGate(source_id=target.source_id, name=target.name, guard=disk.guard()),
    )


def _capture_epoch(poller: Poller, ending: Ending, should_stop: Callable[[], bool], log: ConnectionLog) -> bool:
    """Capture until the epoch of the terminal's clock is over (True), or capture ends."""
    past = PastEpoch(poller) if poller.target.place > 0 else None
    backfiller = Backfiller(poller)
    repeat(poller, lambda: 0, should_stop)
    _loop(poller, past, backfiller, ending, should_stop, log)
    # Told to stop or not, what the terminal shows by now is captured before the poller ends.
    repeat(poller, lambda: _finish(poller, past), _out_of_patience(should_stop))
    return poller.is_epoch_read and not should_stop()


def _open(
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


def _acquire(registered: Registered, should_stop: Callable[[], bool]) -> leases.Held | None:
    """Wait until the source's lease is free; None if told to stop meanwhile."""
    holder = leases.holder_of(os.getpid())
    is_told = False
    while not should_stop():
        try:
            return leases.acquire(source_id=registered.source_id, holder=holder, ttl_ms=settings.LEASE_TTL_MS)
        except leases.LeaseHeld as error:
            if not is_told:
                logger.info("waiting for the lease", extra={"source": registered.name, "reason": str(error)})
            is_told = True
            heartbeat.beat()
            clock.sleep(0.1)
    return None


def _loop(
    poller: Poller,
    past: PastEpoch | None,
    backfiller: Backfiller,
    ending: Ending,
    should_stop: Callable[[], bool],
    log: ConnectionLog,
) -> None:
    interval_s = poller.options.interval_ms / 1000
    facts = FactLog(poller.target)
    is_doubted = False
    while not should_stop():
        begun_s = clock.monotonic_s()
        saved = repeat(poller, lambda: _poll(poller, past, backfiller), should_stop)
        _note(poller, log, age_ms=None if saved >= _BUSY_TICKS else poller.age_ms)
        facts.note(poller.source.facts())
        if poller.is_epoch_read:
            return
        if ending.for_s is not None and clock.monotonic_s() - ending.started_s >= ending.for_s:
            return
        if saved == 0 and ending.until_drained and poller.source.is_exhausted() and poller.sees_all:
            if is_doubted:
                return
            # Nobody polls after the end: that there is nothing new must not be a history that is being fetched.
            poller.synchroniser.doubt()
            is_doubted = True
        if saved < _BUSY_TICKS:
            clock.sleep(interval_s - (clock.monotonic_s() - begun_s))


def _note(poller: Poller, log: ConnectionLog, *, age_ms: int | None = None) -> None:
    """Note a poll. Ticks tell the terminal's clock only where they are shown as they are made, and none is behind."""
    has_failed = [state.error is not None for state in poller.states]
    if not poller.source.is_in_real_time or not poller.sees_all:
        age_ms = None
    log.note(poller.source.health(), is_ok=not any(has_failed), answers=not all(has_failed), age_ms=age_ms)


def _poll(poller: Poller, past: PastEpoch | None, backfiller: Backfiller) -> int:
    """Poll once and, unless the poller is behind with the present, go one step on with what looks at the past."""
    if poller.is_outdated:
        poller.load()
    saved = poller.poll()
    if poller.synchroniser.is_waiting:
        return saved
    if past is not None:
        saved += past.step()
    if saved >= _BUSY_TICKS and not poller.settler.is_overdue:
        return saved
    saved += backfiller.step()
    return saved if poller.is_outdated else saved + poller.settler.step(poller.states, now_msc=poller.now_msc)


def _finish(poller: Poller, past: PastEpoch | None) -> int:
    saved = poller.poll()
    if poller.synchroniser.is_waiting:
        # A past that is not whole says nothing; the next poller passes over it.
        return saved
    if past is not None and past.is_watching:
        saved += past.run()
        if poller.is_outdated:
            poller.load()
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
    """Run an action; after a database error, or while nothing may be saved, wait, read the cursors again and repeat it.

    What a failed action left behind is remembered by the poller, so that no later one goes on from it.
    """
    wait_s = _BACK_OFF_S[0]
    while True:
        heartbeat.beat()
        try:
            poller.gate.check()
            if poller.is_stale:
                poller.load()
            poller.is_stale = True
            done = action() or 0
        except Closed:
            # The gate has told. The lease is kept, or the poller would be taken for one that hangs.
            wait_s = _CLOSED_S
            _keep_lease(poller)
        except (DatabaseError, InterfaceError, cursors.CursorMoved) as error:
            if not poller.gate.explains(error):
                logger.warning(
                    "poll rolled back", extra={"source": poller.target.name, "error": str(error).split("\n", 1)[0]}
                )
            connection.close()
        else:
            poller.is_stale = False
            poller.gate.passed()
            return done
        if should_stop():
            return 0
        clock.sleep(random.uniform(0, wait_s))  # noqa: S311  # jitter, no secret
        wait_s = min(wait_s * 2, _BACK_OFF_S[1])


def _keep_lease(poller: Poller) -> None:
    """Renew the lease where it is time to; a database that cannot is met by the next action."""
    if clock.monotonic_s() - poller.renewed_s <= poller.lease.ttl_ms / 5000:
        return
    try:
        leases.renew(poller.lease)
    except (DatabaseError, InterfaceError):
        connection.close()
    else:
        poller.renewed_s = clock.monotonic_s()
