"""What happens in one run, as a pure function of its seed: what is played, and which faults hit at which moments."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, TypeAlias

Settings: TypeAlias = Mapping[str, float | str]
_FAULTS_MOST = 3
_ROWS = (4_000, 24_000)
_PLAYED_S = (2.0, 4.0)
# The first fault may come before the first tick.
_EARLIEST_S = -0.5
_SEEDS = 1 << 48


class Drawable(Protocol):
    """A kind of fault, as far as drawing one needs it."""

    @property
    def name(self) -> str: ...

    def draw(self, rng: random.Random) -> Settings:
        """Return the settings of one fault: how long, whom, how far."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault; ``at_s`` counts from the first tick."""

    name: str
    at_s: float
    settings: Settings


@dataclass(frozen=True, slots=True)
class Schedule:
    """One run: ``place`` (0 to 1) and ``rows`` say which part of a group's recordings is played in ``played_s``."""

    seed: int
    way: str
    group: str
    place: float
    rows: int
    played_s: float
    faults: tuple[Planned, ...]

    def story(self) -> str:
        """Return the schedule in one line."""
        faults = "; ".join(f"{f.at_s:+.2f} s {f.name} {_words(f.settings)}".rstrip() for f in self.faults)
        return f"{self.rows} rows of {self.group} in {self.played_s:.1f} s by {self.way}: {faults}"

    def facts(self) -> dict[str, object]:
        """Return the schedule as JSON takes it."""
        return asdict(self)


def _words(settings: Settings) -> str:
    return " ".join(f"{name}={value:g}" if isinstance(value, float) else str(value) for name, value in settings.items())


def seed_of(first: int, run: int) -> int:
    """Return the seed of a run; that of the first is the one given, so that any run can be the first."""
    if run == 0:
        return first
    return int.from_bytes(hashlib.sha256(f"{first}:{run}".encode()).digest()[:8]) % _SEEDS


def draw(seed: int, *, kinds: Mapping[str, Sequence[Drawable]], groups: Sequence[str]) -> Schedule:
    """Return the schedule of a seed; ``kinds`` are the faults that can hit, by the way that ticks come."""
    rng = random.Random(seed)  # noqa: S311  # repeatable, no secret
    way = rng.choice(sorted(kinds))
    group, place = rng.choice(groups), rng.random()
    rows, played_s = rng.randint(*_ROWS), round(rng.uniform(*_PLAYED_S), 3)
    count = min(rng.randint(1, _FAULTS_MOST), len(kinds[way]))
    chosen = rng.sample(list(kinds[way]), count)
    planned = [Planned(k.name, round(rng.uniform(_EARLIEST_S, played_s), 3), k.draw(rng)) for k in chosen]
    return Schedule(seed, way, group, place, rows, played_s, tuple(sorted(planned, key=lambda fault: fault.at_s)))
