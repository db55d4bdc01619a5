"""The thresholds of the checks: their names, defaults and bounds, and which of them a feed's ticks are judged by."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace

# Raised with each change of a check or of a default below: what a batch was judged by names it.
REVISION = 4


class Effect(enum.StrEnum):
    """What a row of the table does from its moment on."""

    SET = "SET"
    OFF = "OFF"
    WITHDRAWN = "WITHDRAWN"


# The row that puts an instrument into a group is of this name.
GROUP = "GROUP"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What one feed's ticks are judged by. 0 is a threshold like any other; None switches its check off."""

    spread_factor: int | None = 10
    spread_floor_points: int | None = 20
    jump_factor: int | None = 25
    jump_floor_points: int | None = 20
    revert_percent: int | None = 25
    stuck_ms: int | None = 60_000
    grid_points: int | None = 1
    band_low_points: int | None = None
    band_high_points: int | None = None
    stale_ms: int | None = None
    disagree_factor: int | None = 3
    disagree_floor_points: int | None = 20


DEFAULTS = Thresholds()
# Least and most of each value. Points stay within what the sums of the checks hold.
BOUNDS = {
    "SPREAD_FACTOR": (0, 1_000_000),
    "SPREAD_FLOOR_POINTS": (0, 1_000_000_000),
    "JUMP_FACTOR": (0, 1_000_000),
    "JUMP_FLOOR_POINTS": (0, 1_000_000_000),
    "REVERT_PERCENT": (0, 100),
    "STUCK_MS": (0, 86_400_000),
    "GRID_POINTS": (1, 1_000_000_000),
    "BAND_LOW_POINTS": (-(1 << 52), 1 << 52),
    "BAND_HIGH_POINTS": (-(1 << 52), 1 << 52),
    "STALE_MS": (0, 1 << 52),
    "DISAGREE_FACTOR": (0, 1_000_000),
    "DISAGREE_FLOOR_POINTS": (0, 1_000_000_000),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: for every instrument, for those of a group, or for one."""

    row_id: int
    instrument_id: int | None
    group: str
    name: str
    effect: str
    value: int | None


@dataclass(frozen=True, slots=True)
class Version:
    """The table up to one row; ``number`` is that row's id, 0 where there is none."""

    number: int
    rows: tuple[Row, ...]

    def thresholds(self, instrument_id: int | None) -> Thresholds:
        """Return an instrument's thresholds: its own before its group's before everybody's before the defaults."""
        of_all = [row for row in self.rows if row.instrument_id is None and not row.group]
        own = [row for row in self.rows if row.instrument_id == instrument_id is not None]
        joined = [row for row in own if row.name == GROUP]
        group = joined[-1].group if joined and joined[-1].effect == Effect.SET else ""
        of_group = [row for row in self.rows if group and row.instrument_id is None and row.group == group]
        found = DEFAULTS
        for rows in (of_all, of_group, [row for row in own if row.name != GROUP]):
            found = replace(found, **_in_force(rows))
        return found


def version_of(rows: Iterable[Row]) -> Version:
    """Return the version that the rows, ascending by id, make."""
    kept = tuple(rows)
    return Version(kept[-1].row_id if kept else 0, kept)


def _in_force(rows: list[Row]) -> dict[str, int | None]:
    """Return the values of one scope by field: the newest row of each name decides."""
    newest = {row.name: row for row in rows}
    return {
        name.lower(): row.value if row.effect == Effect.SET else None
        for name, row in newest.items()
        if row.effect != Effect.WITHDRAWN
    }
