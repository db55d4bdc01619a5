"""Thresholds of the checks: each change is a new row and an entry of the audit ledger. Sole writer of its table."""

from django.db import connection

from quality import rules
from quality.models import Threshold
from tickhub.audit import ledger as audit
from tickhub.core.errors import UsageError

# The group of an instrument has no value; everything else has bounds.
_GROUP = Threshold.Name.GROUP


class ThresholdRefused(UsageError):
    """The threshold says nothing that a check could go by."""


def append(*, threshold: Threshold, actor: str) -> None:
    """Put a threshold in force from now on, in the caller's transaction, with its entry of the ledger.

    :raises ThresholdRefused: if it cannot be
    """
    refuse(threshold)
    threshold.actor = actor
    with connection.cursor() as cursor:
        # One writer at a time: a row's id is then above those of all rows that are seen without it.
        cursor.execute("LOCK TABLE quality_threshold IN SHARE ROW EXCLUSIVE MODE")
    threshold.save(force_insert=True)
    audit.record(
        actor=actor,
        action="THRESHOLD_SET",
        about=str(threshold),
        details={
            "threshold": threshold.pk,
            "effect": str(threshold.effect),
            "value": threshold.value,
            "group": threshold.group,
            "reason": threshold.reason,
        },
    )


def refuse(threshold: Threshold) -> None:
    """Refuse what no check could go by.

    :raises ThresholdRefused: in one line
    """
    name, value = str(threshold.name), threshold.value
    if name == _GROUP:
        _refuse_group(threshold)
        return
    if threshold.instrument_id is not None and threshold.group:
        raise ThresholdRefused(f"threshold {name}: choose an instrument or a group, not both")
    is_set = threshold.effect == Threshold.Effect.SET
    if is_set != (value is not None):
        raise ThresholdRefused(f"threshold {name}: a value belongs to SET, and to nothing else")
    if name not in rules.BOUNDS:
        raise ThresholdRefused(f"threshold {name}: is not known; known: {', '.join(rules.BOUNDS)}")
    least, most = rules.BOUNDS[name]
    if value is not None and not least <= value <= most:
        raise ThresholdRefused(f"threshold {name}: {value} is not from {least} to {most}")


def _refuse_group(threshold: Threshold) -> None:
    if threshold.instrument_id is None or not threshold.group:
        raise ThresholdRefused("threshold GROUP: needs the instrument and the group that it joins")
    if threshold.value is not None or threshold.effect == Threshold.Effect.OFF:
        raise ThresholdRefused("threshold GROUP: is SET or WITHDRAWN, and has no value")
