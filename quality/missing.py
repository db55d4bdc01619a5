"""The book of what is missing: stretches without ticks, cut at whole hours. Sole writer of its table."""

from collections.abc import Sequence

from django.db.models.functions import Now

from quality.gaps import Stretch
from quality.models import Gap


def record(*, feed_id: int, from_msc: int, to_msc: int, stretches: Sequence[Stretch]) -> bool:
    """Write the stretches found within ``[from_msc, to_msc)``, in the caller's transaction.

    Those known are brought to what they are now; those no longer found are filled. Return whether any has changed.
    """
    has_changed = False
    known = {
        gap.from_msc: gap for gap in Gap.objects.filter(feed_id=feed_id, from_msc__gte=from_msc, from_msc__lt=to_msc)
    }
    for stretch in stretches:
        now = {
            "to_msc": stretch.to_msc,
            "kind": stretch.kind.value,
            "cause": stretch.cause,
            "state": Gap.State.OPEN.value,
            "filled_at": None,
        }
        gap = known.pop(stretch.from_msc, None)
        if gap is None:
            Gap.objects.create(feed_id=feed_id, from_msc=stretch.from_msc, **now)
        elif all(getattr(gap, name) == value for name, value in now.items()):
            continue
        else:
            # By which request it is asked for is another's to write.
            Gap.objects.filter(pk=gap.pk).update(**now)
        has_changed = True
    gone = [gap.pk for gap in known.values() if gap.state == Gap.State.OPEN]
    if gone:
        Gap.objects.filter(pk__in=gone).update(state=Gap.State.FILLED, filled_at=Now())
    return has_changed or bool(gone)


def ask(*, gap_ids: list[int], backfill_id: int) -> None:
    """Note by which request the stretches are asked for again."""
    Gap.objects.filter(pk__in=gap_ids).update(backfill_id=backfill_id)
