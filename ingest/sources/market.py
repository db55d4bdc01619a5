"""The generated market: a pure function of (seed, rate, symbols, symbol, second), 24 hours a day, every day.

Only integers and exactly rounded operations make a tick: a sine's or a random generator's last bit depends on the
processor and the NumPy version, and a market that is read again elsewhere has to be the same to the bit.
"""

import math
import zlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import TICK_DTYPE, Int64s, Ticks, UInt64s

FLAG_BID, FLAG_ASK = 2, 4
# Real terminals set bits that no documentation names.
FLAG_UNDOCUMENTED = 0x400
# Price and digits of well-known symbols, by the first six letters.
_KNOWN = {
    "EURUSD": (1.08, 5),
    "GBPUSD": (1.27, 5),
    "AUDUSD": (0.66, 5),
    "NZDUSD": (0.61, 5),
    "USDCAD": (1.36, 5),
    "USDCHF": (0.88, 5),
    "EURGBP": (0.85, 5),
    "EURCHF": (0.95, 5),
    "USDSEK": (10.5, 5),
    "USDNOK": (10.6, 5),
    "USDMXN": (17.2, 5),
    "USDZAR": (18.6, 5),
    "USDCNH": (7.2, 5),
    "USDSGD": (1.34, 5),
    "USDJPY": (150.0, 3),
    "EURJPY": (162.0, 3),
    "GBPJPY": (190.0, 3),
    "XAUUSD": (2350.0, 2),
    "XAGUSD": (28.5, 3),
    "BTCUSD": (64000.0, 2),
    "ETHUSD": (3400.0, 2),
    "XTIUSD": (78.0, 2),
}
# Waves of the price: period in seconds, amplitude relative to the price.
_WAVES = ((90, 0.00006), (1_020, 0.0004), (6_300, 0.0014), (86_400, 0.004), (604_800, 0.009))
# Spread in points by four hashed bits; zero is a real spread.
_SPREADS = np.array([0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 1, 4, 5], dtype=np.int64)
_NOISE = np.array([0, 0, 0, 0, 1, 1, -1, -1, 1, -1, 2, -2, 0, 0, 0, 0], dtype=np.int64)
_CACHED_SECONDS = 64
# A longer stretch is generated in blocks of many seconds and not kept.
_KEPT_STRETCH_S = 16
_BLOCK_TICKS = 131_072
_BLOCK_SECONDS_MAX = 65_536


def mix(values: UInt64s) -> UInt64s:
    """Scramble 64-bit values (the finaliser of SplitMix64)."""
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_STRIDE = np.uint64(0xD1B54A32D192ED03)


@dataclass(frozen=True, slots=True)
class Style:
    """How a symbol is priced: ``base_points`` is its middle in points of ``10^-digits``."""

    base_points: int
    digits: int


def style_of(symbol: str) -> Style:
    """Return the price and digits of a symbol; an unknown name gets a price from its hash."""
    letters = symbol.upper()[:6]
    hashed = zlib.crc32(symbol.encode())
    if letters in _KNOWN:
        price, digits = _KNOWN[letters]
    elif letters.endswith("JPY"):
        price, digits = 80.0 + hashed % 12_000 / 100, 3
    elif letters.startswith("XAU") or any(c.isdigit() for c in letters):
        price, digits = 1_000.0 + hashed % 900_000 / 100, 2
    else:
        price, digits = 0.5 + hashed % 100_000 / 100_000, 5
    return Style(round(price * 10**digits), digits)


class Market:
    """The ticks of one symbol. Times are whole seconds or milliseconds since 1970 in the terminal's clock.

    ``rate`` is the mean of ticks per second over all ``symbols``, which share it equally.
    """

    def __init__(self, *, symbol: str, symbols: tuple[str, ...], rate: float, seed: int) -> None:
        self.symbol = symbol
        self.style = style_of(symbol)
        self.mean = rate / len(symbols)
        self._key = int.from_bytes(symbol.encode()[:8].ljust(8, b"\0"), "little") ^ zlib.crc32(symbol.encode())
        self._salt = mix(np.array([self._key, seed], dtype=np.uint64) * _GOLDEN + _STRIDE)
        self._base = mix(self._salt[:1] ^ self._salt[1:])
        phases = mix(self._base + np.arange(1, len(_WAVES) + 1, dtype=np.uint64) * _STRIDE)
        self._phases = [int(phase) % period for phase, (period, _) in zip(phases, _WAVES, strict=True)]
        self._seconds: OrderedDict[int, Ticks] = OrderedDict()

    def ticks_of_second(self, second: int) -> Ticks:
        """Return a second's ticks, read-only, sorted by time; the newest 64 seconds asked for are kept."""
        kept = self._seconds.get(second)
        if kept is None:
            kept = self._generate(second, 1)
            self._seconds[second] = kept
            if len(self._seconds) > _CACHED_SECONDS:
                self._seconds.popitem(last=False)
        else:
            self._seconds.move_to_end(second)
        return kept

    def ticks_between(self, from_msc: int, to_msc: int) -> Ticks:
        """Return the ticks of ``[from_msc, to_msc)``, read-only, sorted by time."""
        if to_msc <= from_msc:
            return tick_arrays.empty()
        first, end = from_msc // 1000, -(-to_msc // 1000)
        if end - first == 1:
            ticks = self.ticks_of_second(first)
        elif end - first <= _KEPT_STRETCH_S:
            ticks = tick_arrays.join([self.ticks_of_second(second) for second in range(first, end)])
        else:
            step = self.seconds_for(_BLOCK_TICKS)
            ticks = tick_arrays.join([self._generate(s, min(step, end - s)) for s in range(first, end, step)])
        low, high = np.searchsorted(ticks["time_msc"], [from_msc, to_msc], side="left")
        return tick_arrays.freeze(ticks[low:high])

    def seconds_for(self, count: int) -> int:
        """Return how many seconds hold about ``count`` ticks: at least one, and no more than fit a block."""
        return min(max(1, math.ceil(count / self.mean)), _BLOCK_SECONDS_MAX)

    def _generate(self, first: int, n: int) -> Ticks:
        """Make the ticks of ``n`` seconds at once; each second's are the same however it is asked for."""
        seconds = np.arange(first, first + n, dtype=np.int64)
        of_second = mix(self._base + seconds.view(np.uint64) * _GOLDEN)
        counts = self._counts(of_second)
        total = int(counts.sum())
        place = np.arange(total, dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
        random = mix(np.repeat(of_second, counts) + (place.view(np.uint64) + np.uint64(1)) * _STRIDE)
        is_first = place == 0
        ticks = np.zeros(total, dtype=TICK_DTYPE)
        ticks["time"] = np.repeat(seconds, counts)
        time_msc = self._times(ticks["time"], random, is_first)
        ticks["time_msc"] = time_msc
        bid = self._bids(time_msc, random)
        ask = bid + _SPREADS[(random >> np.uint64(40)).astype(np.int64) & 15]
        ticks["bid"] = bid / 10**self.style.digits
        ticks["ask"] = ask / 10**self.style.digits
        ticks["flags"] = _flags(bid, ask, is_first, random)
        # One in 128 repeats its neighbour to the byte.
        repeats = np.flatnonzero(((random >> np.uint64(52)).astype(np.int64) & 127 == 0) & ~is_first)
        ticks[repeats] = ticks[repeats - 1]
        return tick_arrays.freeze(ticks)

    def _counts(self, of_second: UInt64s) -> Int64s:
        """Return each second's number of ticks: exactly the mean over time, spread as widely as Poisson's."""
        # A uniform factor of this width has the variance of a Poisson count, unless it would fall below zero.
        width = min(2.0, math.sqrt(12 / self.mean))
        factor = 1 + width * (_unit(of_second) - 0.5)
        # The floor of x plus a uniform number has the mean x.
        return np.floor(self.mean * factor + _unit(mix(of_second + _STRIDE))).astype(np.int64)

    def _times(self, second: Int64s, random: UInt64s, is_first: npt.NDArray[np.bool_]) -> Int64s:
        in_second = ((random & np.uint64(0xFFFFFFFF)) * np.uint64(1000) >> np.uint64(32)).astype(np.int64)
        time_msc: Int64s = np.sort(second * 1000 + in_second)
        # One in 16 shares its neighbour's millisecond: the shift by one keeps the order.
        shared = np.flatnonzero(((random >> np.uint64(32)).astype(np.int64) & 15 == 0) & ~is_first)
        time_msc[shared] = time_msc[shared - 1]
        return time_msc

    def _bids(self, time_msc: Int64s, random: UInt64s) -> Int64s:
        relative = np.zeros(len(time_msc))
        for (period_s, amplitude), phase in zip(_WAVES, self._phases, strict=True):
            turn = (time_msc + phase * 1000) % (period_s * 1000) / (period_s * 1000)
            # A parabola for each half turn: smooth like a sine.
            swing = 2 * turn - 1
            relative += amplitude * 4 * swing * (1 - np.abs(swing))
        middle = np.rint(self.style.base_points * (1 + relative)).astype(np.int64)
        bids: Int64s = middle + _NOISE[(random >> np.uint64(36)).astype(np.int64) & 15]
        return bids


def _unit(values: UInt64s) -> npt.NDArray[np.float64]:
    """Map 64-bit values onto [0, 1)."""
    return (values >> np.uint64(11)) / 2.0**53


def _flags(bid: Int64s, ask: Int64s, is_first: npt.NDArray[np.bool_], random: UInt64s) -> npt.NDArray[np.uint32]:
    """Say which side changed; a second's first tick and one without a change name both."""
    flags = np.full(len(bid), FLAG_BID | FLAG_ASK, dtype=np.uint32)
    bid_moved, ask_moved = bid[1:] != bid[:-1], ask[1:] != ask[:-1]
    flags[1:][bid_moved & ~ask_moved] = FLAG_BID
    flags[1:][ask_moved & ~bid_moved] = FLAG_ASK
    flags[is_first] = FLAG_BID | FLAG_ASK
    flags[(random >> np.uint64(44)).astype(np.int64) & 7 == 0] |= np.uint32(FLAG_UNDOCUMENTED)
    return flags
