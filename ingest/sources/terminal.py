"""What capture needs of a terminal, and of a source once it is open."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from ingest.sources.breaker import Circuit
from tickhub.core.symbols import SymbolFacts
from tickhub.core.ticks import Ticks
from tickhub.core.zones import ClockRule
from tickhub.reference import codes


class Link(StrEnum):
    """How far a terminal is reached."""

    CONNECTED = "CONNECTED"
    # The terminal answers, from what it knew when it lost its broker.
    LINK_LOST = "LINK_LOST"
    # The terminal does not answer until it is initialised again.
    IPC_LOST = "IPC_LOST"
    # It is on another account, server or trade mode than configured.
    WRONG_ACCOUNT = "WRONG_ACCOUNT"


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a connection; ``failures`` counts tries in a row, ``hung_s`` the time spent in calls that hung."""

    link: Link = Link.CONNECTED
    circuit: Circuit = Circuit.CLOSED
    failures: int = 0
    hung_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Mapped:
    """The canonical code of the instrument that a symbol is, and the rule that says so."""

    code: str
    rule: str


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

    def login(self, login: int, **settings: Any) -> bool: ...  # Any: as above


class OpenSource(Protocol):
    """An opened source. Its own times are UTC, in milliseconds; what its terminal shows is in the terminal's clock."""

    terminal: Terminal
    # In an order that is the same after a restart.
    symbols: tuple[str, ...]
    server_name: str
    is_replay: bool
    # Ticks are shown when they are made: not of a recording that is played faster.
    is_in_real_time: bool
    # Another process can read the same history (sim, replay).
    can_be_reread: bool
    # The rule of the terminal's clock.
    clock: ClockRule
    # The instant shown at the playback origin (replay), else the time of opening.
    start_msc: int
    # Lines to show once: skipped files, bad lines.
    notes: tuple[str, ...]
    # Preferred among the sources of an instrument where lower; None leaves it as it is.
    priority: int | None

    def begin_poll(self) -> int:
        """Advance playback, restore a lost connection, and return the time now: the host's, or the playback's.

        :raises WrongAccount: if the terminal is on another account or server than configured
        """

    def shown_msc(self, polled_msc: int) -> int:
        """Return up to when (UTC) the rows read last may have been made, given the time of the newest poll."""

    def is_exhausted(self) -> bool:
        """Return whether every row of every recording is visible; never for a market that goes on."""

    def begins_msc(self, symbol: str, now_msc: int) -> int:
        """Return where a new feed begins: ``from=``, else a recording's earliest row, else the second of now."""

    def digits(self, symbol: str) -> int:
        """Return the decimals of a symbol's prices, 0 to 8."""

    def is_quoted(self, symbol: str) -> bool:
        """Return whether the price basis is bid and ask, not the last price alone."""

    @property
    def connections(self) -> int:
        """Return how often the terminal began to fetch its history from its broker; 0 where there is no such thing."""

    def health(self) -> Health:
        """Return the state of the connection as of the newest poll."""

    def facts(self) -> Mapping[str, SymbolFacts]:
        """Return what the terminal says of its symbols, by symbol; empty where it says nothing."""

    def instrument(self, symbol: str) -> Mapped:
        """Return which instrument a symbol is."""


class PlainSource:
    """Answers for sources without a connection of their own: always connected, each symbol its own instrument."""

    priority: int | None = None
    is_in_real_time: bool = True

    def shown_msc(self, polled_msc: int) -> int:
        """See :meth:`OpenSource.shown_msc`."""
        return polled_msc

    @property
    def connections(self) -> int:
        """See :attr:`OpenSource.connections`."""
        return 0

    def health(self) -> Health:
        """See :meth:`OpenSource.health`."""
        return Health()

    def facts(self) -> Mapping[str, SymbolFacts]:
        """See :meth:`OpenSource.facts`."""
        return {}

    def instrument(self, symbol: str) -> Mapped:
        """See :meth:`OpenSource.instrument`."""
        return Mapped(codes.canonical(symbol), SAME)


# The default rule: nothing is guessed of a suffix.
SAME = "the symbol itself"
