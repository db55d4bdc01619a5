"""Reads a terminal: forward from a whole second, a page at a time; an error is never "no ticks"."""

from dataclasses import dataclass

import numpy as np

from ingest.sources.terminal import Readable
from tickhub.core import ticks as tick_arrays
from tickhub.core.errors import TickhubError
from tickhub.core.ticks import TICK_DTYPE, Ticks

# A second with more ticks than this cannot be passed; the busiest one on record held 2,411.
PAGE_TICKS_MAX = 8_388_608
_SECOND_MAX = (1 << 31) - 1


class ReadFailed(TickhubError):
    """The terminal answered a read with None: ``code`` and ``text`` are its ``last_error``."""

    def __init__(self, *, symbol: str, code: int, text: str) -> None:
        super().__init__(f"{symbol}: terminal error {code} {text}")
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Page:
    """Rows from a second on, sorted by time; ``is_cut`` says that the terminal may have more behind them."""

    ticks: Ticks
    is_cut: bool


def read_forward(terminal: Readable, symbol: str, *, from_second: int, count: int) -> Page:
    """Read at least one whole second, doubling the page while a single second fills it.

    :raises ReadFailed: if the terminal answers None, or hands out rows of another form
    """
    while True:
        answer = terminal.copy_ticks_from(symbol, _askable(from_second), count, terminal.COPY_TICKS_ALL)
        ticks = _check(terminal, symbol, answer)
        is_cut = len(ticks) >= count
        if not is_cut or ticks["time_msc"][0] // 1000 != ticks["time_msc"][-1] // 1000:
            return Page(_from(ticks, from_second), is_cut)
        if count >= PAGE_TICKS_MAX:
            raise ReadFailed(symbol=symbol, code=0, text=f"over {count} ticks in second {from_second}")
        count *= 2


def read_range(terminal: Readable, symbol: str, *, from_second: int, to_second: int) -> Ticks:
    """Read the rows of whole seconds ``[from_second, to_second)``.

    :raises ReadFailed: if the terminal answers None, or hands out rows of another form
    """
    if to_second <= from_second:
        return tick_arrays.empty()
    # Both ends are inclusive: the last second's first millisecond comes along and is cut off again.
    answer = terminal.copy_ticks_range(symbol, _askable(from_second), _askable(to_second), terminal.COPY_TICKS_ALL)
    ticks = _check(terminal, symbol, answer)
    start, end = np.searchsorted(ticks["time_msc"], [from_second * 1000, to_second * 1000]).tolist()
    return ticks[start:end]


def _from(ticks: Ticks, second: int) -> Ticks:
    """Return the rows from a second on; the terminal may have been asked for an earlier one."""
    if len(ticks) == 0 or ticks["time_msc"][0] >= second * 1000:
        return ticks
    return ticks[ticks["time_msc"].searchsorted(second * 1000) :]


def _askable(second: int) -> int:
    """Return a date that the terminal takes: 0 means "not given" to it, and its integers have 32 bits."""
    return -1 if second == 0 else min(max(second, -_SECOND_MAX), _SECOND_MAX)


def _check(terminal: Readable, symbol: str, ticks: Ticks | None) -> Ticks:
    if ticks is None:
        code, text = terminal.last_error()
        raise ReadFailed(symbol=symbol, code=code, text=text)
    if ticks.dtype != TICK_DTYPE:
        raise ReadFailed(symbol=symbol, code=0, text=f"rows of dtype {ticks.dtype}")
    return ticks
