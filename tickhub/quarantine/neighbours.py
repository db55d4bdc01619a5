"""A tick among its neighbours: what is stored around a key, and what of the same stretch is in quarantine."""

from dataclasses import dataclass

from quality import queries as quality_queries
from quality.models import QuarantinedTick
from storage import reader
from storage.reader import Stored
from tickhub.core import clock, flags
from tickhub.core import ticks as tick_arrays
from tickhub.core.flags import Flag
from tickhub.core.ticks import Ticks

NEIGHBOURS = 20
_EVER = (-(1 << 63), (1 << 63) - 1)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One tick; ``state`` is STORED, or its state in quarantine, whose row is ``row_id`` then. Times in UTC."""

    time_msc: int
    seq: int
    bid: float
    ask: float
    last: float
    volume: float
    flags: tuple[str, ...]
    batch_id: int
    state: str
    row_id: int | None
    is_here: bool

    @property
    def time(self) -> str:
        """Return the time as ISO 8601."""
        return clock.iso(self.time_msc)

    @property
    def is_stored(self) -> bool:
        """Return whether the tick stands in the tick table."""
        return self.row_id is None

    @property
    def is_released(self) -> bool:
        """Return whether the tick was in quarantine before it was stored."""
        return Flag.RELEASED.name in self.flags


def around(*, feed_id: int, time_msc: int, seq: int) -> list[Neighbour]:
    """Return up to 20 stored ticks on both sides of a key, with what is held between them, by key."""
    before, behind = reader.around(feed_id=feed_id, time_msc=time_msc, seq=seq, count=NEIGHBOURS + 1)
    before = before.take(slice(-NEIGHBOURS, None))
    key = (time_msc, seq)
    found = [*_stored(before, key), *_stored(behind, key)]
    times = [time_msc, *(row.time_msc for row in found)]
    held = quality_queries.rows_around(
        feed_id=feed_id,
        time_msc=time_msc,
        seq=seq,
        period=(min(times), max(times) + 1) if found else _EVER,
        count=NEIGHBOURS,
    )
    found += [_held(row, key) for row in held if row.state != QuarantinedTick.State.RELEASED]
    return sorted(found, key=lambda row: (row.time_msc, row.seq, row.is_stored))


def _stored(stored: Stored, key: tuple[int, int]) -> list[Neighbour]:
    columns = (stored.seq.tolist(), stored.quality.tolist(), stored.batch_id.tolist())
    return [
        _neighbour(stored.ticks[place : place + 1], seq, quality, batch_id, "STORED", None, key)
        for place, (seq, quality, batch_id) in enumerate(zip(*columns, strict=True))
    ]


def _held(row: QuarantinedTick, key: tuple[int, int]) -> Neighbour:
    tick = tick_arrays.shift(tick_arrays.from_bytes(bytes(row.record)), -row.offset_ms)
    return _neighbour(tick, row.seq, row.quality, row.batch_id, row.state, row.pk, key)


def _neighbour(
    tick: Ticks, seq: int, quality: int, batch_id: int, state: str, row_id: int | None, key: tuple[int, int]
) -> Neighbour:
    time_msc = int(tick["time_msc"][0])
    return Neighbour(
        time_msc=time_msc,
        seq=seq,
        bid=float(tick["bid"][0]),
        ask=float(tick["ask"][0]),
        last=float(tick["last"][0]),
        volume=float(tick["volume_real"][0]),
        flags=flags.names(quality),
        batch_id=batch_id,
        state=state,
        row_id=row_id,
        is_here=(time_msc, seq) == key,
    )
