"""Captures one epoch of a source's clock after another."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.conf import settings

from ingest import backfill, epochstart, firstpass, leases
from ingest.connections import ConnectionLog
from ingest.epochend import Unread
from ingest.poller import Poller
from ingest.sources.session import WrongAccount
from ingest.sources.terminal import OpenSource
from ingest.target import Options, Target
from quality import incidents
from tickhub import disk, polling, publishing, repeating
from tickhub.core import clock
from tickhub.polling import Ending
from tickhub.registering import Registered
from tickhub.stops import DiskGate

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of capture works with; without ``publish`` batches go to the broker."""

    source: OpenSource
    registered: Registered
    lease: leases.Held
    publish: Callable[[int], object] | None = None


def capture(run: Run, ending: Ending, should_stop: Callable[[], bool], log: ConnectionLog) -> int:
    """Capture one epoch of the terminal's clock after another; return the ticks captured."""
    captured = 0
    poller = repeating.insist(lambda: _first_poller(run), should_stop, what="capture not begun")
    while poller is not None:
        try:
            unread = polling.capture_epoch(poller, ending, should_stop, log)
        except WrongAccount:
            polling.note(poller, log)
            raise
        captured += poller.captured
        poller = None if unread is None else _next_poller(run, poller, unread, should_stop)
    return captured


def _first_poller(run: Run) -> Poller:
    registered = run.registered
    place = first_place(registered)
    firstpass.note_beginning(Target(registered.source_id, registered.name, registered.epochs, place, registered.feeds))
    poller = make_poller(run, place)
    epochstart.ask_for_earlier(poller.target)
    return poller


def _next_poller(run: Run, poller: Poller, unread: Sequence[Unread], should_stop: Callable[[], bool]) -> Poller | None:
    """Note what an epoch leaves behind, then return the poller of the next one; None if told to stop before."""
    found: list[Poller] = []

    def step() -> None:
        leave(poller, unread)
        found.append(make_poller(run, poller.target.place + 1))

    repeating.repeat(poller, step, should_stop)
    return found[-1] if found else None


def first_place(registered: Registered) -> int:
    """Return the place of the epoch that capture stands in."""
    return epochstart.first_place(source_id=registered.source_id, epochs=registered.epochs, feeds=registered.feeds)


def leave(poller: Poller, unread: Sequence[Unread]) -> None:
    """Record what of an epoch that is over could not be read, and what cannot be told from the next one's.

    :raises ingest.leases.LeaseLost: if this poller was replaced: it knows nothing of the epoch any more
    """
    # Nobody else can take the source over for as long as what follows takes.
    leases.renew(poller.lease)
    if unread:
        _tell_unread(poller, unread)
    firstpass.note_leaving(poller, unread)


def _tell_unread(poller: Poller, unread: Sequence[Unread]) -> None:
    """Ask for a backfill of what of an epoch could not be read, and raise an incident that a person sees."""
    ended = clock.iso(poller.target.epoch.ends_msc)
    told = []
    for left in unread:
        number = backfill.request(
            feed_id=left.feed_id,
            from_msc=left.from_msc,
            to_msc=left.to_msc,
            reason=f"not read before the clock's switch at {ended}",
        )
        told.append({"symbol": left.symbol, "from_msc": left.from_msc, "why": left.reason, "backfill": number})
    logger.warning("an epoch of the clock is left unread", extra={"source": poller.target.name, "feeds": told})
    evidence = {"epoch_ended": ended, "feeds": told}
    incidents.raise_condition(cause="EPOCH_UNREAD", source_id=poller.target.source_id, evidence=evidence)


def make_poller(run: Run, place: int) -> Poller:
    """Return the poller of the epoch at a place."""
    target = run.registered.target(place)
    return Poller(
        source=run.source,
        target=target,
        lease=run.lease,
        publish=run.publish or publishing.Publisher().publish,
        options=Options(
            interval_ms=settings.POLL_INTERVAL_MS,
            page_ticks=settings.PAGE_TICKS,
            publish_again_ms=settings.PUBLISH_AGAIN_MS,
        ),
        gate=DiskGate(source_id=target.source_id, name=target.name, guard=disk.guard()),
    )
