"""The time that a check may take of one batch: NumPy cannot be interrupted, so each is measured once it has run.

A check that took longer has its marks left out, and the checks behind it do not run: what made it slow (a machine that
swaps, say) mostly makes the next one slow too, and ticks wait for the worker. Of each check the batch has either all
marks or none: its ticks are UNJUDGED, the checks left out are named, and made up for later. The checks of
:data:`ALWAYS` are never left out, however long they take.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tickhub.core.flags import HOLD, OF_THE_POLL, Flag
from tickhub.core.ticks import Mask

# What decides whether the table may hold a tick, and what only the poll knows: no tick is stored, and nothing that
# cannot be found out later is lost, because a check was late.
ALWAYS = HOLD | OF_THE_POLL


@dataclass(frozen=True, slots=True)
class Budget:
    """How long each check may take, in milliseconds, by a clock that gives seconds and never steps back."""

    check_ms: int
    now_s: Callable[[], float]


class Run:
    """The checks of one batch as they run; ``left_out`` names those whose marks do not count.

    Beside each of them stand the milliseconds that it took, or None where it did not run.
    """

    def __init__(self, budget: Budget | None) -> None:
        self._budget = budget
        self._is_over = False
        self.left_out: dict[Flag, int | None] = {}

    def marks(self, flag: Flag, check: Callable[[], Mask]) -> Mask | None:
        """Return the marks of a check, None where they are left out."""
        if self._budget is None:
            return check()
        is_optional = not flag & ALWAYS
        if self._is_over and is_optional:
            self.left_out[flag] = None
            return None
        started_s = self._budget.now_s()
        marks = check()
        took_ms = (self._budget.now_s() - started_s) * 1000
        if took_ms <= self._budget.check_ms:
            return marks
        self._is_over = True
        if not is_optional:
            return marks
        self.left_out[flag] = round(took_ms)
        return None
