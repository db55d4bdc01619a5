"""Corrections of clocks: intent before the first tick moves, progress with each day, the epochs at the end. Sole writer
of ``ClockCorrection``."""

from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from tickhub.audit import ledger as audit
from tickhub.core import zones
from tickhub.core.errors import TickhubError, UsageError
from tickhub.core.zones import ClockRule, Epochs
from tickhub.reference.models import ClockCorrection, ClockEpoch, Feed, Source

EpochRow = tuple[int, int, int]


class CorrectionMoved(TickhubError):
    """The correction is not where this process left it: another one goes on with it."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a correction will do: all epochs as they will be, those among them that the rule makes, and their order."""

    before: list[EpochRow]
    after: list[EpochRow]
    made: list[int]


def unfinished(*, source_name: str) -> ClockCorrection | None:
    """Return the correction of a source that was begun and not ended."""
    return (
        ClockCorrection.objects.select_related("source")
        .filter(source__name=source_name, state=ClockCorrection.State.RUNNING)
        .first()
    )


def refuse_unfinished(*, source_name: str) -> None:
    """Refuse to work with a source in the midst of a correction.

    :raises UsageError: saying what to run
    """
    if unfinished(source_name=source_name) is not None:
        msg = (
            f"source {source_name}: a correction of its clock is not finished; "
            f"run `manage.py correct_clock --source {source_name} --resume`"
        )
        raise UsageError(msg)


def hold_off(*, source: Source) -> None:
    """Keep a correction of a source's clock from beginning before the caller's transaction ends.

    :raises UsageError: if one is under way
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM reference_source WHERE id = %s FOR SHARE", [source.pk])
    # Looked for behind the lock: a correction that began while it was waited for is seen.
    refuse_unfinished(source_name=source.name)


def outline(*, source: Source, rule: ClockRule, from_msc: int | None, to_msc: int | None, until_msc: int) -> Outline:
    """Lay out a source's epochs with those of a rule in the period, the rule's up to ``until_msc`` if it has no end.

    Ids that no row has yet are drawn from the table's sequence.
    """
    before = list(source.epochs.order_by("starts_msc").values_list("pk", "starts_msc", "offset_ms"))
    begin = before[0][1] if from_msc is None else from_msc
    end = until_msc if to_msc is None else to_msc
    kept = [row for row in before if from_msc is not None and row[1] < from_msc]
    behind = [row for row in before if to_msc is not None and row[1] >= to_msc]
    switches = rule.epochs(begin, end)
    resumed = []
    if to_msc is not None and not any(row[1] == to_msc for row in behind):
        resumed = [(to_msc, zones.epochs_of(before).at(to_msc).offset_ms)]
    ids = _new_ids(len(switches) + len(resumed))
    made = [(pk, start, offset_ms) for pk, (start, offset_ms) in zip(ids, switches, strict=False)]
    again = [(ids[-1], start, offset_ms) for start, offset_ms in resumed]
    return Outline(before, [*kept, *made, *again, *behind], ids[: len(switches)])


def _new_ids(count: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('reference_clockepoch', 'id')) FROM generate_series(1, %s)", [count]
        )
        return [int(row[0]) for row in cursor.fetchall()]


def epochs_before(correction: ClockCorrection) -> Epochs:
    """Return the epochs under which the ticks were captured."""
    return zones.epochs_of([tuple(row) for row in correction.epochs_before])


def epochs_after(correction: ClockCorrection) -> Epochs:
    """Return the epochs as they will be."""
    return zones.epochs_of([tuple(row) for row in correction.epochs_after])


def epochs_made(correction: ClockCorrection) -> Epochs:
    """Return those of the epochs as they will be that the rule makes."""
    made = set(correction.made)
    return Epochs(tuple(row for row in epochs_after(correction).rows if row.epoch_id in made))


def begin(*, correction: ClockCorrection) -> None:
    """Record the intent, in the caller's transaction; whoever holds it off is waited for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM reference_source WHERE id = %s FOR NO KEY UPDATE", [correction.source_id])
    correction.save(force_insert=True)
    _audit(correction, "CLOCK_CORRECTION_BEGUN", {"epochs": correction.epochs_before, "days": len(correction.days)})


def advance(*, correction: ClockCorrection, figures: dict[str, Any], done: dict[str, Any]) -> None:  # Any: JSON
    """Record that the next day is done, in the transaction that did it.

    :raises CorrectionMoved: if another process has done it
    """
    number = correction.days_done
    changed = ClockCorrection.objects.filter(
        pk=correction.pk, state=ClockCorrection.State.RUNNING, days_done=number
    ).update(days_done=number + 1, figures=figures)
    if changed != 1:
        msg = f"correction {correction.pk}: day {number} is done already"
        raise CorrectionMoved(msg)
    _audit(correction, "CLOCK_CORRECTION_DAY", done)


def finish(*, correction: ClockCorrection, spec: str, playback_start_msc: int | None, begins: dict[int, int]) -> None:
    """Put the new epochs in force, with what else of the reference data is a time, in the caller's transaction.

    ``begins`` holds the feeds' begins by id. The source's own rule changes where the period has no end.
    """
    source = correction.source
    after = {pk: (start, offset_ms) for pk, start, offset_ms in correction.epochs_after}
    evidence = dict(source.epochs.values_list("pk", "evidence"))
    resumed = f"as before the correction to {correction.clock}"
    source.epochs.exclude(pk__in=list(after)).delete()
    ClockEpoch.objects.bulk_create(
        ClockEpoch(
            pk=pk,
            source=source,
            starts_msc=start,
            offset_ms=offset_ms,
            evidence=f"corrected: {correction.clock} instead of {correction.old_clock}"
            if pk in correction.made
            else resumed,
        )
        for pk, (start, offset_ms) in after.items()
        if pk not in evidence
    )
    for feed_id, begins_msc in begins.items():
        Feed.objects.filter(pk=feed_id).update(begins_msc=begins_msc)
    if correction.to_msc is None:
        Source.objects.filter(pk=source.pk).update(
            clock=correction.clock, spec=spec, playback_start_msc=playback_start_msc
        )
    ClockCorrection.objects.filter(pk=correction.pk).update(state=ClockCorrection.State.DONE, done_at=Now())
    details = {"figures": correction.figures, "epochs": correction.epochs_after, "begins": begins}
    _audit(correction, "CLOCK_CORRECTION_DONE", details)


def _audit(correction: ClockCorrection, action: str, details: dict[str, Any]) -> None:  # Any: JSON
    facts = {
        "correction": correction.pk,
        "from": correction.old_clock,
        "to": correction.clock,
        "period": [correction.from_msc, correction.to_msc],
    }
    audit.record(
        actor=correction.actor, action=action, about=f"source {correction.source.name}", details=facts | details
    )
