"""Runs a correction: intent, days, end. What was begun is gone on with, by the same command."""

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from ingest import leases, sessions
from ingest.leases import Held
from tickhub.core import zones
from tickhub.core.errors import UsageError
from tickhub.correcting import days, ending, holding, request
from tickhub.correcting.days import Figures
from tickhub.correcting.request import Request
from tickhub.reference import corrections
from tickhub.reference import queries as reference
from tickhub.reference.models import ClockCorrection, Source

_NAME = "correct_clock"


@dataclass(frozen=True, slots=True)
class Report:
    """What was done, or with a dry run would be."""

    correction: ClockCorrection
    figures: Figures
    is_dry: bool

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        """Return the report for ``--json``."""
        row = self.correction
        return {
            "source": row.source.name,
            "old_clock": row.old_clock,
            "clock": row.clock,
            "from_msc": row.from_msc,
            "to_msc": row.to_msc,
            "dry_run": self.is_dry,
            "days": len(row.days),
            **asdict(self.figures),
        }


def correct(asked: Request, *, is_dry: bool, progress: Callable[[str], object]) -> Report:
    """Correct a source's clock, or go on with the same correction that was broken off.

    :raises UsageError: if it cannot be done; nothing was changed
    :raises ingest.leases.LeaseLost: if another process took the source over
    """
    with sessions.long_work(name=_NAME):
        return _correct(asked, is_dry=is_dry, progress=progress)


def _correct(asked: Request, *, is_dry: bool, progress: Callable[[str], object]) -> Report:
    source = request.source_of(asked.source)
    begun = corrections.unfinished(source_name=source.name)
    if begun is not None:
        _refuse_another(begun, asked)
        if is_dry:
            raise UsageError(
                f"source {source.name}: its correction to {begun.clock} is under way; it is no trial any more"
            )
        return _resume(asked.source, progress)
    with _lease(source, wait_s=0.0) as lease:
        correction, figures = request.prepare(asked, source, progress=progress)
        if is_dry:
            return Report(correction, figures, is_dry=True)
        with transaction.atomic(durable=True):
            corrections.begin(correction=correction)
            leases.renew(lease)
        return _run(correction, lease, progress)


def resume(source_name: str, *, progress: Callable[[str], object]) -> Report:
    """Go on with a correction that was broken off. Raises as :func:`correct`.

    :raises UsageError: if there is none
    """
    with sessions.long_work(name=_NAME):
        return _resume(source_name, progress)


def _resume(source_name: str, progress: Callable[[str], object]) -> Report:
    source = request.source_of(source_name)
    # Whoever was killed in the midst of it holds the lease until it expires.
    with _lease(source, wait_s=settings.LEASE_TTL_MS / 1000 + 1) as lease:
        correction = corrections.unfinished(source_name=source.name)
        if correction is None:
            raise UsageError(f"source {source.name}: no correction of its clock is unfinished")
        return _run(correction, lease, progress)


def _lease(source: Source, *, wait_s: float) -> AbstractContextManager[Held]:
    return holding.held(
        source_id=source.pk,
        name=source.name,
        holder=f"{_NAME} on {socket.gethostname()} pid {os.getpid()}",
        ttl_ms=settings.LEASE_TTL_MS,
        wait_s=wait_s,
    )


def _refuse_another(begun: ClockCorrection, asked: Request) -> None:
    try:
        wanted = zones.parse(asked.clock).text
    except ValueError:
        wanted = asked.clock
    if (begun.clock, begun.from_msc, begun.to_msc) != (wanted, asked.from_msc, asked.to_msc):
        msg = (
            f"source {asked.source}: its correction to {begun.clock} is not finished; "
            f"run `manage.py correct_clock --source {asked.source} --resume` first"
        )
        raise UsageError(msg)


def _run(correction: ClockCorrection, lease: Held, progress: Callable[[str], object]) -> Report:
    figures = Figures(**correction.figures)
    feed_ids = [feed.pk for feed in reference.feeds(source=correction.source.name)]
    for day in correction.days[correction.days_done :]:
        progress(f"correcting day {correction.days_done + 1} of {len(correction.days)}")
        read = days.read(correction, day, feed_ids)
        figures = days.write(correction, read, total=figures, still_ours=lambda: leases.renew(lease))
    correction.figures = asdict(figures)
    with transaction.atomic(durable=True):
        ending.finish(correction)
        leases.renew(lease)
    ending.refresh_latest(correction)
    return Report(correction, figures, is_dry=False)
