"""The book of what is missing: stretches without ticks, cut at whole hours. Sole writer of its table."""

from collections.abc import Sequence

from django.db.models.functions import Now

from quality.gaps import Stretch
from quality.models import Gap


def record(*, feed_id: int, from_msc: int, to_msc: int, stretches: Sequence[Stretch]) -> None:
    """Write the stretches found within ``[from_msc, to_msc)``, in the caller's transaction.

    Those known are brought to what they are now; those no longer found are filled.
    """
    known = {
        gap.from_msc: gap for gap in Gap.objects.filter(feed_id=feed_id, from_msc__gte=from_msc, from_msc__lt=to_msc)
    }
    for stretch in stretches:
        gap = known.pop(stretch.from_msc, None) or Gap(feed_id=feed_id, from_msc=stretch.from_msc)
        gap.to_msc, gap.kind, gap.cause = stretch.to_msc, stretch.kind.value, stretch.cause
        gap.state, gap.filled_at = Gap.State.OPEN, None
        gap.save()
    gone = [gap.pk for gap in known.values() if gap.state == Gap.State.OPEN]
    if gone:
        Gap.objects.filter(pk__in=gone).update(state=Gap.State.FILLED, filled_at=Now())


def ask(*, gap_ids: list[int], backfill_id: int) -> None:
    """Note by which request the stretches are asked for again."""
    Gap.objects.filter(pk__in=gap_ids).update(backfill_id=backfill_id)
