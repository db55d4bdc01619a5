"""Judges a whole recording in memory, as if a terminal had shown it in the order of its rows; nothing is stored."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from quality import inspection, recorded_hours, scores
from quality.checks import neighbours
from quality.inspection import Limits
from quality.recorded_hours import Examined, Silences
from quality.scores import Counts, Score
from tickhub.core import flags as flag_names
from tickhub.core import ticks as tick_arrays
from tickhub.core.batch import SEQ_MAX, Batch, Part
from tickhub.core.calendars import Calendar
from tickhub.core.flags import FlagArray
from tickhub.core.ticks import BATCH_TICKS_MAX, Int64s, Mask, Ticks
from tickhub.reference.queries import FeedFacts

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in a recording: ``flags`` counts the ticks that carry each flag.

    Silences, hours and the score are of the ticks that a table may hold, at their times as recorded.
    """

    rows: int
    flags: dict[str, int]
    silences: Silences
    examined: Examined
    score: Score

    def rates(self) -> dict[str, float]:
        """Return marked ticks per million, by flag."""
        return {name: round(count * _MILLION / self.rows, 1) for name, count in self.flags.items()}


def judge(
    ticks: Ticks,
    *,
    facts: FeedFacts,
    limits: Limits,
    now_msc: int,
    calendar: Calendar | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> Report:
    """Judge a recording's ticks, at least one, in order of arrival; ``progress`` is told how many are done.

    A row earlier than one before it is LATE. The poll is taken to be at the newest row, or at ``now_msc`` where that is
    earlier: no terminal has shown what lies behind it.
    """
    found, done, pieces = Counter[str](), 0, []
    for flags in flags_of(ticks, facts=facts, limits=limits, poll_msc=min(int(ticks["time_msc"].max()), now_msc)):
        found.update(flag_names.counts(flags))
        pieces.append(flags)
        done += len(flags)
        progress(done)
    judged = np.concatenate(pieces)
    is_held = inspection.held(judged)
    times = np.sort(ticks["time_msc"][~is_held])
    examined = recorded_hours.examine(times, calendar)
    score = scores.score(_counts(judged, is_held, examined))
    return Report(len(ticks), dict(found), recorded_hours.silences(times), examined, score)


def _counts(flags: FlagArray, is_held: Mask, examined: Examined) -> Counts:
    stored = flags[~is_held]
    return Counts(
        stored=len(stored),
        invalid=int(np.count_nonzero(stored & scores.INVALID)),
        untimely=int(np.count_nonzero(stored & scores.UNTIMELY)),
        held=int(np.count_nonzero(is_held)),
        session_ms=examined.session_ms,
        missing_ms=examined.missing_ms,
    )


def flags_of(ticks: Ticks, *, facts: FeedFacts, limits: Limits, poll_msc: int) -> Iterator[FlagArray]:
    """Yield the flags of a recording's ticks, batch after batch, as of a poll at ``poll_msc``."""
    seq, late = _seq(ticks["time_msc"]), _late(ticks["time_msc"])
    for start in range(0, len(ticks), BATCH_TICKS_MAX):
        place = slice(start, start + BATCH_TICKS_MAX)
        context = ticks[max(0, start - neighbours.WINDOW) : start]
        part = Part(facts.feed_id, 0, 0, len(ticks[place]), len(context), None, None)
        batch = Batch(
            batch_id=start // BATCH_TICKS_MAX,
            source_id=0,
            poll_msc=poll_msc,
            captured_msc=poll_msc,
            parts=(part,),
            ticks=ticks[place],
            seq=seq[place].astype(np.int16),
            late=late[place],
            context=context,
        )
        yield inspection.inspect(batch, facts={facts.feed_id: facts}, limits=limits)


def _seq(time_msc: Int64s) -> Int64s:
    """Number the ticks of each millisecond in their order, as capture does; what is beyond the last number is that."""
    order = np.argsort(time_msc, kind="stable")
    seq = np.empty(len(time_msc), dtype=np.int64)
    seq[order] = tick_arrays.position_in_group(time_msc[order])
    return np.minimum(seq, SEQ_MAX)


def _late(time_msc: Int64s) -> Mask:
    """Mark the rows earlier than a row before them."""
    late = np.zeros(len(time_msc), dtype=bool)
    late[1:] = time_msc[1:] < np.maximum.accumulate(time_msc)[:-1]
    return late
