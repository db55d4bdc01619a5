"""A terminal whose history a test writes by hand, behind the interface that capture uses."""

from dataclasses import dataclass, field

import numpy as np

from ingest.sources.terminal import Health, Link, PlainSource, Terminal
from tickhub.core import zones
from tickhub.core.ticks import TICK_DTYPE, Ticks
from tickhub.core.zones import ClockRule


@dataclass
class HandWrittenTerminal:
    """Shows exactly the rows that a test has put into ``history``; ``fails`` makes reads of a symbol fail."""

    COPY_TICKS_ALL: int = -1
    history: dict[str, Ticks] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)
    page_limit: int | None = None
    error: tuple[int, str] = (1, "Success")
    counts: list[int] = field(default_factory=list)

    COPY_TICKS_INFO: int = 1
    COPY_TICKS_TRADE: int = 2
    RES_S_OK: int = 1

    def shutdown(self) -> None:
        self.history = {}

    def terminal_info(self) -> None:
        return None

    def account_info(self) -> None:
        return None

    def symbol_info(self, symbol: str, /) -> None:
        return None

    def symbol_info_tick(self, symbol: str, /) -> None:
        return None

    def symbol_select(self, symbol: str, enable: bool = True, /) -> bool:
        return symbol in self.history

    def last_error(self) -> tuple[int, str]:
        return self.error

    def copy_ticks_from(self, symbol: str, date_from: int, count: int, flags: int, /) -> Ticks | None:
        self.counts.append(count)
        rows = self._rows(symbol, date_from * 1000, None)
        return None if rows is None else rows[:count]

    def copy_ticks_range(self, symbol: str, date_from: int, date_to: int, flags: int, /) -> Ticks | None:
        return self._rows(symbol, date_from * 1000, date_to * 1000)

    def _rows(self, symbol: str, from_msc: int, to_msc: int | None) -> Ticks | None:
        if symbol in self.fails:
            self.error = (-4, "Terminal: Not found")
            return None
        self.error = (1, "Success")
        rows = self.history.get(symbol, np.zeros(0, dtype=TICK_DTYPE))
        rows = rows[np.argsort(rows["time_msc"], kind="stable")]
        keep = rows["time_msc"] >= from_msc
        return rows[keep if to_msc is None else keep & (rows["time_msc"] <= to_msc)]


@dataclass
class HandWrittenSource(PlainSource):
    """A source over a hand-written terminal; the test sets its time (UTC)."""

    terminal: Terminal
    symbols: tuple[str, ...]
    now_msc: int
    server_name: str = "hand-written"
    is_replay: bool = False
    can_be_reread: bool = True
    clock: ClockRule = zones.UTC
    start_msc: int = 0
    notes: tuple[str, ...] = ()

    def begin_poll(self) -> int:
        return self.now_msc

    def is_exhausted(self) -> bool:
        return True

    def begins_msc(self, symbol: str, now_msc: int) -> int:
        return now_msc // 1000 * 1000

    def digits(self, symbol: str) -> int:
        return 5

    def is_quoted(self, symbol: str) -> bool:
        return True


@dataclass
class LinkedSource(HandWrittenSource):
    """A source whose terminal loses its broker, and finds it, when the test says so."""

    link: Link = Link.CONNECTED
    count: int = 1

    @property
    def connections(self) -> int:
        return self.count

    def health(self) -> Health:
        return Health(self.link)
