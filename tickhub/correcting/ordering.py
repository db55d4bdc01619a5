"""The order of the days of a correction: a tick that moves must not meet one that has yet to move. Pure."""

from graphlib import CycleError, TopologicalSorter

from tickhub.core.clock import DAY_MS, iso
from tickhub.core.errors import PermanentError


class DaysMeet(PermanentError):
    """Ticks of days move past each other: neither day can come first."""


def in_order(targets: dict[int, set[int]]) -> list[int]:
    """Return days (since 1970) in the order in which they can be written; ``targets`` are the days that each moves to.

    :raises DaysMeet: if there is none
    """
    sorter = TopologicalSorter({day: sorted((others - {day}) & targets.keys()) for day, others in targets.items()})
    try:
        return list(sorter.static_order())
    except CycleError as error:
        meeting = sorted(set(error.args[1]))
        msg = f"ticks of {' and '.join(iso(day * DAY_MS)[:10] for day in meeting)} would move past each other"
        raise DaysMeet(msg) from error
