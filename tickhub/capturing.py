"""Captures the source that a SPEC names, from opening it to giving its lease back."""

import logging
import os
from collections.abc import Callable
from dataclasses import replace

from django.conf import settings

from ingest import leases
from ingest.backfill import Backfiller
from ingest.connections import ConnectionLog
from ingest.poller import Poller
from ingest.sources import spec as specs
from ingest.sources.session import WrongAccount
from ingest.synchronising import DOUBT_S
from tickhub import epochs, registering
from tickhub.core import clock
from tickhub.core.errors import UsageError
from tickhub.epochs import Run
from tickhub.polling import Ending
from tickhub.reference.models import Source

logger = logging.getLogger(__name__)


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
    opened = registering.open_patiently(spec, origin_msc, should_stop)
    if opened is None:
        return 0
    source, registered = opened
    for note in source.notes:
        logger.warning("left out", extra={"source": registered.name, "what": note})
    lease = registering.acquire(registered, should_stop)
    if lease is None:
        return 0
    if lease.fence > 1:
        # Another poller may have gone on while this one waited: playback stands where that one left it. Nothing is
        # loaded again: that may take minutes, in which nobody would renew the lease.
        try:
            source, registered = registering.prepare(spec, origin_msc=origin_msc, opened=source)
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
        captured = epochs.capture(Run(source, registered, lease, publish), ending, should_stop, log)
    except WrongAccount:
        leases.release(lease)
        raise
    finally:
        log.write()
    leases.release(lease)
    return captured


def backfill_now(source_name: str) -> int:
    """Fulfil the open backfill requests of a source that nobody polls; return the ticks captured.

    :raises leases.LeaseHeld: if its poller runs: that one fulfils them
    :raises tickhub.core.errors.UsageError: if the source cannot be opened here
    """
    row = Source.objects.get(name=source_name)
    held = leases.acquire(source_id=row.pk, holder=leases.holder_of(os.getpid()), ttl_ms=settings.LEASE_TTL_MS)
    try:
        source, registered = registering.prepare(specs.parse(row.spec), origin_msc=None)
        poller = epochs.make_poller(Run(source, registered, held), epochs.first_place(registered))
        poller.load()
        _await_history(poller)
        return Backfiller(poller).run()
    finally:
        leases.release(held)


def _await_history(poller: Poller) -> None:
    """Wait until the history of a terminal that was just connected is whole.

    Two reads have to agree, as before a poller captures; what a terminal then fetches, in any order, may take minutes.
    """
    begun_s = clock.monotonic_s()
    is_told = False
    while True:
        poller.utc_msc = poller.source.begin_poll()
        now_msc = poller.utc_msc + poller.target.offset_ms
        poller.synchroniser.has_changed(poller.source.connections)
        # Each is asked, so that all go on.
        waiting = [s for s in poller.states if not poller.synchroniser.is_agreed(s, now_msc=now_msc)]
        is_fetching = poller.source.connections > 0 and clock.monotonic_s() - begun_s < DOUBT_S
        if not waiting and not is_fetching:
            return
        if not waiting and not is_told:
            is_told = True
            logger.info("the terminal may still be fetching its history", extra={"waits_s": DOUBT_S})
        # Renews the lease.
        poller.save([], now_msc=now_msc)
        clock.sleep(poller.options.interval_ms / 1000)
