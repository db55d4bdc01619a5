"""What a correction is asked to do, and whether it can be done: everything is tried before the first tick moves."""

from collections.abc import Callable
from dataclasses import dataclass

from ingest import cursors, queries
from ingest.sources import spec as specs
from ingest.sources.spec import AgentSpec, ProviderSpec, SimSpec
from tickhub.core import clock, zones
from tickhub.core.clock import DAY_MS, HOUR_MS
from tickhub.core.errors import UsageError
from tickhub.core.zones import ClockRule, EpochUnknown
from tickhub.correcting import days, ordering
from tickhub.correcting.batches import LedgerDiffers
from tickhub.correcting.days import Day, Figures
from tickhub.correcting.ordering import DaysMeet
from tickhub.reference import corrections
from tickhub.reference import queries as reference
from tickhub.reference.models import ClockCorrection, Source

# How far ahead epochs are written, as at registration.
_AHEAD_MS = 730 * DAY_MS


@dataclass(frozen=True, slots=True)
class Request:
    """A correction as asked for; the period is UTC by the old reckoning, None is without a bound."""

    source: str
    clock: str
    from_msc: int | None
    to_msc: int | None
    actor: str


def source_of(name: str) -> Source:
    """Return a source by name.

    :raises UsageError: if there is none
    """
    source = reference.sources(name=name).first()
    if source is None:
        msg = f"source {name} is not known; known: {', '.join(row.name for row in reference.sources()) or 'none'}"
        raise UsageError(msg)
    return source


def rule_of(request: Request, source: Source) -> ClockRule:
    """Return the rule asked for.

    :raises UsageError: if it cannot be read, or the source's clock is no broker's
    """
    try:
        rule = zones.parse(request.clock)
    except ValueError as error:
        msg = f"--clock {request.clock}: {error}"
        raise UsageError(msg) from error
    for option, bound in (("--from", request.from_msc), ("--to", request.to_msc)):
        if bound is not None and bound % HOUR_MS:
            msg = f"{option} {clock.iso(bound)}: expected a whole hour of UTC, as clocks change at one"
            raise UsageError(msg)
    if source.scheme in {SimSpec.scheme, *(kind.scheme for kind in ProviderSpec.__subclasses__())}:
        msg = f"source {source.name}: the clock of {source.scheme}: is what its SPEC says, there is nothing to correct"
        raise UsageError(msg)
    if source.scheme == AgentSpec.scheme and (rule.zone, request.from_msc, request.to_msc) != (None, None, None):
        msg = f"source {source.name}: an agent's clock can only be corrected as a whole, to one offset from UTC"
        raise UsageError(msg)
    return rule


def spec_of(source: Source, rule: ClockRule) -> str:
    """Return the SPEC under another clock; a terminal whose clock stands in the sources file keeps its own."""
    if source.is_replay or "clock=" in source.spec:
        return specs.with_clock(source.spec, rule)
    return source.spec


def refuse_unsettled(source: Source) -> None:
    """Refuse a source of which something is on its way.

    :raises UsageError: saying what to do
    """
    waiting, failed, duplicates = queries.unsettled(source_id=source.pk)
    if waiting:
        msg = f"source {source.name}: {waiting} batches wait; start workers (`manage.py up` does) until none does"
        raise UsageError(msg)
    if failed:
        msg = (
            f"source {source.name}: {failed} batches are failed; mend the cause and release them in the admin "
            f"(action “Release failed batches”)"
        )
        raise UsageError(msg)
    if duplicates:
        msg = f"source {source.name}: {duplicates} batches hold duplicates, whose new time cannot be told"
        raise UsageError(msg)


def prepare(request: Request, source: Source, *, progress: Callable[[str], object]) -> tuple[ClockCorrection, Figures]:
    """Lay a correction out and try it on every day without writing; return it and what it will do.

    :raises UsageError: if it cannot be done; nothing was changed
    """
    rule = rule_of(request, source)
    refuse_unsettled(source)
    outline = corrections.outline(
        source=source,
        rule=rule,
        from_msc=request.from_msc,
        to_msc=request.to_msc,
        until_msc=clock.now_msc() + _AHEAD_MS,
    )
    correction = ClockCorrection(
        source=source,
        old_clock=source.clock,
        clock=rule.text,
        from_msc=request.from_msc,
        to_msc=request.to_msc,
        actor=request.actor,
        epochs_before=outline.before,
        epochs_after=outline.after,
        made=outline.made,
        days=[],
    )
    _refuse_lost_cursors(correction)
    counts = _counts(correction)
    figures = Figures()
    targets: dict[int, set[int]] = {}
    feed_ids = [feed.pk for feed in reference.feeds(source=source.name)]
    for number, (day, count) in enumerate(sorted(counts.items())):
        progress(f"trying day {number + 1} of {len(counts)}")
        tried = _tried(correction, day, count, feed_ids)
        figures, targets[day] = figures.add(tried.figures), tried.new_days
    try:
        correction.days = ordering.in_order(targets)
    except DaysMeet as error:
        msg = f"source {source.name}: {error}; correct the stretches one by one with --from and --to"
        raise UsageError(msg) from error
    return correction, figures


def _refuse_lost_cursors(correction: ClockCorrection) -> None:
    """Refuse a source with a cursor that the end could not place."""
    before = corrections.epochs_before(correction)
    for feed_id, position in cursors.load(source_id=correction.source_id).items():
        try:
            before.of(position.epoch_id)
        except EpochUnknown as error:
            msg = f"source {correction.source.name}: the cursor of feed {feed_id} stands nowhere: {error}"
            raise UsageError(msg) from error


def _counts(correction: ClockCorrection) -> dict[int, int]:
    """Return how many ticks the batches declare on each UTC day of the period."""
    low = None if correction.from_msc is None else correction.from_msc // HOUR_MS
    high = None if correction.to_msc is None else correction.to_msc // HOUR_MS
    found: dict[int, int] = {}
    for hour, count in queries.hours_of_source(source_id=correction.source_id).items():
        if (low is None or hour >= low) and (high is None or hour < high):
            found[hour // 24] = found.get(hour // 24, 0) + count
    return found


def _tried(correction: ClockCorrection, day: int, count: int, feed_ids: list[int]) -> Day:
    try:
        read = days.read(correction, day, feed_ids)
        for _ in days.restated(correction, read):
            pass
    except LedgerDiffers as error:
        msg = f"source {correction.source.name}: {error}; run `manage.py reconcile --deep` first, nothing was changed"
        raise UsageError(msg) from error
    if len(read.rows) != count:
        msg = (
            f"source {correction.source.name}: on {clock.iso(day * DAY_MS)[:10]} its batches declare {count} ticks, "
            f"the tables hold {len(read.rows)}; run `manage.py reconcile --deep` first, nothing was changed"
        )
        raise UsageError(msg)
    return read
