"""Why a quarantined tick cannot be released, in one line each."""

from django.conf import settings

from quality.models import QuarantinedTick
from storage import partitions
from tickhub.core import clock
from tickhub.core.clock import DAY_MS, LATEST_MSC
from tickhub.core.flags import Flag


def of_itself(row: QuarantinedTick) -> str | None:
    """Return why a tick can be released on no day, None where it can."""
    if row.state == QuarantinedTick.State.REJECTED:
        return "it was rejected; reopen it first"
    if row.state != QuarantinedTick.State.HELD:
        return f"it is {row.state} already"
    if row.quality & Flag.UNSTORABLE:
        return "UNSTORABLE: the tick table cannot hold it and give it back bit for bit"
    if row.quality & Flag.NO_SUCH_TIME:
        return "NO_SUCH_TIME: it has no UTC time before its clock is corrected (`manage.py correct_clock`)"
    return None


def of_its_day(row: QuarantinedTick, *, days: set[int]) -> str | None:
    """Return why a tick has no place in the table, None where its day is one of ``days``."""
    if row.time_msc // DAY_MS in days:
        return None
    earliest = clock.iso(settings.EARLIEST_MSC)[:10]
    return (
        f"its time {clock.iso(row.time_msc)} has no partition, and none is made for days before {earliest} "
        f"(TICKHUB_EARLIEST_DAY) or after tomorrow"
    )


def make_days(row_ids: list[int]) -> set[int]:
    """Make the partitions of the plausible days of rows that can be released; return their days that have one.

    Days count from 1970. Runs in its own transactions, before the one that needs them.
    """
    rows = QuarantinedTick.objects.filter(pk__in=row_ids).order_by("pk")
    wanted = {row.time_msc // DAY_MS for row in rows if of_itself(row) is None}
    partitions.ensure(
        sorted(wanted),
        earliest_day=settings.EARLIEST_MSC // DAY_MS,
        latest_day=min(clock.now_msc() + DAY_MS, LATEST_MSC - 1) // DAY_MS,
        new_most=settings.NEW_DAYS_MOST,
    )
    return partitions.existing(wanted)
