"""What capture needs of a terminal, and of a source once it is open."""

from typing import Any, Protocol

from tickhub.core.ticks import Ticks
from tickhub.core.zones import ClockRule


class Readable(Protocol):
    """What reading ticks needs. Fails as :class:`Terminal` does."""

    COPY_TICKS_ALL: int

    def last_error(self) -> tuple[int, str]: ...

    def symbol_select(self, symbol: str, enable: bool = True, /) -> bool: ...

    def copy_ticks_from(self, symbol: str, date_from: int, count: int, flags: int, /) -> Ticks | None:
        """Return at most ``count`` ticks from a second on, oldest first, shape (n,), TICK_DTYPE."""

    def copy_ticks_range(self, symbol: str, date_from: int, date_to: int, flags: int, /) -> Ticks | None:
        """Return the ticks between two seconds, both ends inclusive, shape (n,), TICK_DTYPE."""


class Terminal(Readable, Protocol):
    """The part of the MetaTrader5 module that capture uses; that module itself fits it.

    Nothing raises. None or False is a failure, told by ``last_error``, which every call overwrites; an empty array
    is success. Dates are whole seconds of the terminal's clock since 1970. What the struct-sequences hold has no
    static type, hence Any.
    """

    COPY_TICKS_INFO: int
    COPY_TICKS_TRADE: int
    RES_S_OK: int

    def shutdown(self) -> None: ...

    def terminal_info(self) -> Any | None: ...  # Any: TerminalInfo

    def account_info(self) -> Any | None: ...  # Any: AccountInfo

    def symbol_info(self, symbol: str, /) -> Any | None: ...  # Any: SymbolInfo

    def symbol_info_tick(self, symbol: str, /) -> Any | None: ...  # Any: Tick


class Connectable(Terminal, Protocol):
    """A terminal that can be connected: what a session needs beside reading."""

    def initialize(self, *path: str, **settings: Any) -> bool: ...  # Any: login int, password str, timeout int, …


class OpenSource(Protocol):
    """An opened source. Its own times are UTC, in milliseconds; what its terminal shows is in the terminal's clock."""

    terminal: Terminal
    # In an order that is the same after a restart.
    symbols: tuple[str, ...]
    server_name: str
    is_replay: bool
    # Another process can read the same history (sim, replay).
    can_be_reread: bool
    # The rule of the terminal's clock.
    clock: ClockRule
    # The instant shown at the playback origin (replay), else the time of opening.
    start_msc: int
    # Lines to show once: skipped files, bad lines.
    notes: tuple[str, ...]

    def begin_poll(self) -> int:
        """Advance playback, restore a lost connection, and return the time now: the host's, or the playback's.

        :raises WrongAccount: if the terminal is on another account or server than configured
        """

    def is_exhausted(self) -> bool:
        """Return whether every row of every recording is visible; never for a market that goes on."""

    def begins_msc(self, symbol: str, now_msc: int) -> int:
        """Return where a new feed begins: ``from=``, else a recording's earliest row, else the second of now."""

    def digits(self, symbol: str) -> int:
        """Return the decimals of a symbol's prices, 0 to 8."""

    def is_quoted(self, symbol: str) -> bool:
        """Return whether the price basis is bid and ask, not the last price alone."""
