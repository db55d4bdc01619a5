"""The digest of a set of ticks: its count and two sums of 64-bit mixes, the same in any order.

Each record (UTC ``time_msc``, bid, ask, last, volume, flags, volume_real, bits as given) is mixed twice, with
independently drawn odd multipliers and the finaliser of SplitMix64 (Steele, Lea, Flood 2014); the mixes are added
modulo 2^64. Sums, because equal records would cancel in XOR and because they can be added and subtracted by parts.
The record's ``time`` is left out: it follows from ``time_msc``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tickhub.core.ticks import Int64s, Ticks, UInt64s

_MASK = (1 << 64) - 1
_FIELDS = ("time_msc", "bid", "ask", "last", "volume", "flags", "volume_real")
# Two sets of odd multipliers, one for each field: consecutive outputs of SplitMix64 seeded with 1 and with 2, made odd.
_BLOCK = 8192


def _splitmix64(seed: int, n: int) -> list[int]:
    state, out = seed, []
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        out.append((z ^ (z >> 31)) | 1)
    return out


_MULTIPLIERS = tuple(tuple(np.uint64(m) for m in _splitmix64(seed, len(_FIELDS))) for seed in (1, 2))


@dataclass(frozen=True, slots=True)
class Digest:
    """Count and two sums modulo 2^64 of a set of ticks."""

    count: int = 0
    sum1: int = 0
    sum2: int = 0

    def __add__(self, other: "Digest") -> "Digest":
        return Digest(self.count + other.count, (self.sum1 + other.sum1) & _MASK, (self.sum2 + other.sum2) & _MASK)

    def __sub__(self, other: "Digest") -> "Digest":
        return Digest(self.count - other.count, (self.sum1 - other.sum1) & _MASK, (self.sum2 - other.sum2) & _MASK)

    def as_list(self) -> list[int | str]:
        """Return ``[count, sum1, sum2]`` for JSON, the sums as hexadecimal text that no reader rounds."""
        return [self.count, f"{self.sum1:016x}", f"{self.sum2:016x}"]

    @classmethod
    def from_list(cls, values: Iterable[int | str]) -> "Digest":
        """Read what :meth:`as_list` wrote.

        :raises ValueError: if it is not of that form
        """
        count, sum1, sum2 = values
        return cls(int(count), int(str(sum1), 16), int(str(sum2), 16))


ZERO = Digest()


def _finalise(mix: UInt64s) -> None:
    """Scramble 64-bit values in place (the finaliser of SplitMix64)."""
    mix ^= mix >> np.uint64(30)
    mix *= np.uint64(0xBF58476D1CE4E5B9)
    mix ^= mix >> np.uint64(27)
    mix *= np.uint64(0x94D049BB133111EB)
    mix ^= mix >> np.uint64(31)


def mixes(ticks: Ticks, *, offset_ms: int = 0) -> tuple[UInt64s, UInt64s]:
    """Mix each tick twice; ``offset_ms`` is taken from ``time_msc`` first (terminal clock to UTC).

    Returns two arrays of shape (n,), uint64.
    """
    first = np.empty(len(ticks), dtype=np.uint64)
    second = np.empty(len(ticks), dtype=np.uint64)
    # Blocks that stay in the processor's cache: every field is passed over several times.
    for start in range(0, len(ticks), _BLOCK):
        part = slice(start, start + _BLOCK)
        _mix_block(ticks[part], offset_ms, first[part], second[part])
    return first, second


def _mix_block(ticks: Ticks, offset_ms: int, first: UInt64s, second: UInt64s) -> None:
    first[:] = 0
    second[:] = 0
    for field, m1, m2 in zip(_FIELDS, *_MULTIPLIERS, strict=True):
        if field == "time_msc":
            lane = (ticks[field] - np.int64(offset_ms)).view(np.uint64)
        elif field == "flags":
            lane = ticks[field].astype(np.uint64)
        else:
            lane = np.ascontiguousarray(ticks[field]).view(np.uint64)
            if not lane.any():
                continue
        # The low half of a price's bits is often zero; folding spreads it over the multiplication.
        lane = lane ^ (lane >> np.uint64(32))
        first += lane * m1
        second += lane * m2
    _finalise(first)
    _finalise(second)


def of(ticks: Ticks, *, offset_ms: int = 0) -> Digest:
    """Digest a whole array."""
    first, second = mixes(ticks, offset_ms=offset_ms)
    return _total(first, second)


def _total(first: UInt64s, second: UInt64s) -> Digest:
    return Digest(len(first), int(first.sum(dtype=np.uint64)), int(second.sum(dtype=np.uint64)))


def by_key(ticks: Ticks, keys: Int64s, *, offset_ms: int = 0) -> dict[int, Digest]:
    """Digest the ticks of each key (an hour, say); runs of one key may be scattered."""
    return of_mixes(keys, *mixes(ticks, offset_ms=offset_ms))


def of_mixes(keys: Int64s, first: UInt64s, second: UInt64s) -> dict[int, Digest]:
    """Digest by key what :func:`mixes` has mixed; runs of one key may be scattered."""
    if len(keys) == 0:
        return {}
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    sums1 = np.add.reduceat(first, starts)
    sums2 = np.add.reduceat(second, starts)
    ends = np.append(starts[1:], len(keys))
    found: dict[int, Digest] = {}
    for key, n, s1, s2 in zip(
        keys[starts].tolist(), (ends - starts).tolist(), sums1.tolist(), sums2.tolist(), strict=True
    ):
        found[key] = found.get(key, ZERO) + Digest(n, s1, s2)
    return found


def by_part(ticks: Ticks, counts: Sequence[int], hours: Int64s, *, offset_ms: int = 0) -> list[dict[int, Digest]]:
    """Digest the ticks of consecutive parts by hour, all parts in one pass; ``hours`` has the shape of ``ticks``."""
    found: list[dict[int, Digest]] = [{} for _ in counts]
    if len(ticks) == 0:
        return found
    first, second = mixes(ticks, offset_ms=offset_ms)
    part_of = np.repeat(np.arange(len(counts)), counts)
    changes = (hours[1:] != hours[:-1]) | (part_of[1:] != part_of[:-1])
    starts = np.flatnonzero(np.concatenate(([True], changes)))
    sizes = np.diff(np.append(starts, len(ticks)))
    runs = (part_of[starts], hours[starts], sizes, np.add.reduceat(first, starts), np.add.reduceat(second, starts))
    for part, hour, n, sum1, sum2 in zip(*(column.tolist() for column in runs), strict=True):
        found[part][hour] = found[part].get(hour, ZERO) + Digest(n, sum1, sum2)
    return found


def total(digests: Iterable[Digest]) -> Digest:
    """Add digests up."""
    result = ZERO
    for digest in digests:
        result += digest
    return result
