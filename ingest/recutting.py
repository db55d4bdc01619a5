"""Cuts a batch's parts anew where its ticks are placed under other epochs of the clock. Pure: its bytes stay.

A part has one offset. Its rows stand in the order of the wall clock, so that those of a stretch of time are neighbours:
before them and behind them stay parts of the old epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tickhub.core import digest
from tickhub.core.batch import Part
from tickhub.core.digest import Digest


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring ticks of a part that one new epoch holds, with their digests by their new UTC hour."""

    epoch_id: int
    offset_ms: int
    hours: dict[int, Digest]


def count_within(part: Part, low_hour: int, high_hour: int) -> int:
    """Return how many ticks of a part lie in the UTC hours ``[low_hour, high_hour)``."""
    return digest.total(within(part.hours, low_hour, high_hour).values()).count


def within(hours: dict[int, Digest], low_hour: int, high_hour: int) -> dict[int, Digest]:
    """Return the hours of ``[low_hour, high_hour)``."""
    return {hour: value for hour, value in hours.items() if low_hour <= hour < high_hour}


def recut(part: Part, *, low_hour: int, high_hour: int, runs: Sequence[Run]) -> list[Part]:
    """Replace the ticks of the hours ``[low_hour, high_hour)`` by runs under new epochs; parts without ticks go."""
    before = {hour: value for hour, value in part.hours.items() if hour < low_hour}
    behind = {hour: value for hour, value in part.hours.items() if hour >= high_hour}
    pieces = [(part.epoch_id, part.offset_ms, before, True)]
    pieces += [(run.epoch_id, run.offset_ms, run.hours, False) for run in runs]
    pieces.append((part.epoch_id, part.offset_ms, behind, True))
    found: list[Part] = []
    for epoch_id, offset_ms, hours, is_old in pieces:
        count = digest.total(hours.values()).count
        if count == 0:
            continue
        cut = replace(part, epoch_id=epoch_id, offset_ms=offset_ms, hours=hours, count=count)
        if not is_old:
            # What judging needed of the old clock; these ticks have been judged.
            cut = replace(cut, repeated=None, skipped_from_msc=None)
        if found:
            # The first one keeps what is told once.
            cut = replace(cut, context_count=0, missing=0, gone=(), error=None)
        found.append(cut)
    return found


def joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Join neighbours of one feed and epoch that need not be told apart."""
    found: list[Part] = []
    for part in parts:
        if found and _can_join(found[-1], part):
            hours = dict(found[-1].hours)
            for hour, value in part.hours.items():
                hours[hour] = hours.get(hour, digest.ZERO) + value
            found[-1] = replace(found[-1], hours=hours, count=found[-1].count + part.count)
        else:
            found.append(part)
    return tuple(found)


def _can_join(left: Part, right: Part) -> bool:
    told_once = right.context_count or right.missing or right.error
    return not told_once and _kind(left) == _kind(right)


def _kind(part: Part) -> Part:
    """Return a part without what may differ between two that are joined."""
    return replace(part, hours={}, count=0, context_count=0, missing=0, gone=(), error=None)
