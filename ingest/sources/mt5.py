"""The real terminal. The only module that imports MetaTrader5, and only where it exists: on Windows."""

import importlib
import logging
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.sources import account, mapping
from ingest.sources import spec as specs
from ingest.sources.account import Expected
from ingest.sources.constants import Constants
from ingest.sources.mapping import Rules
from ingest.sources.session import Session, TerminalUnavailable
from ingest.sources.spec import Mt5Spec
from ingest.sources.surface import TIMEOUT_MS, ReadingSurface
from ingest.sources.terminal import Health, Mapped, Terminal
from tickhub.core import textfiles, zones
from tickhub.core.errors import UsageError
from tickhub.core.symbols import SymbolFacts
from tickhub.core.zones import ClockRule

logger = logging.getLogger(__name__)

SOURCES_FILE = "TICKHUB_SOURCES_FILE"


@dataclass(frozen=True, slots=True)
class Description:
    """One terminal of the sources file."""

    path: str
    login: int
    password: str
    server: str
    clock: ClockRule
    symbols: tuple[str, ...]
    trade_mode: int | None = None
    is_portable: bool = False
    timeout_ms: int = TIMEOUT_MS
    priority: int | None = None
    rules: Rules = field(default_factory=Rules)

    def __repr__(self) -> str:
        return f"Description(path={self.path!r}, server={self.server!r}, symbols={self.symbols!r})"


class Mt5Source:
    """A terminal on this machine. Fits :class:`ingest.sources.terminal.OpenSource`."""

    is_replay = False
    is_in_real_time = True
    # One process, one terminal: a second process would start another one.
    can_be_reread = False
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        module: object,
        *,
        spec: Mt5Spec,
        description: Description,
        host_now_msc: Callable[[], int],
    ) -> None:
        expected = Expected(description.login, description.server, description.trade_mode)
        surface = ReadingSurface(module, label=spec.text, expected=expected)
        self.terminal: Terminal = surface
        self.symbols = description.symbols
        self.server_name = description.server
        self.clock = description.clock
        self.priority = description.priority
        self._surface = surface
        self._rules = description.rules
        self._host_now_msc = host_now_msc
        self._begins_msc = spec.begins_msc
        self._session = Session(
            surface,
            label=spec.text,
            symbols=self.symbols,
            expected=expected,
            path=(description.path,),
            settings={
                "login": description.login,
                "password": description.password,
                "server": description.server,
                "timeout": description.timeout_ms,
                "portable": description.is_portable,
            },
        )
        self._session.open()
        missing = [symbol for symbol in self.symbols if symbol not in self._session.facts]
        if missing:
            raise TerminalUnavailable(f"{spec.text}: the terminal does not describe {missing[0]}")
        info = surface.account_info()
        if info is not None and info.trade_allowed:
            logger.warning("the account may trade: use its investor password", extra={"source": spec.text})
        self.start_msc = self._now_msc()

    @property
    def connections(self) -> int:
        """See :attr:`OpenSource.connections`."""
        return self._session.connections

    def health(self) -> Health:
        """See :meth:`OpenSource.health`."""
        breaker = self._session.breaker
        return Health(self._session.link, breaker.circuit, breaker.failures, self._surface.hung_s)

    def facts(self) -> Mapping[str, SymbolFacts]:
        """See :meth:`OpenSource.facts`."""
        return self._session.facts

    def instrument(self, symbol: str) -> Mapped:
        """See :meth:`OpenSource.instrument`."""
        return self._rules.of(symbol)

    def begin_poll(self) -> int:
        """See :meth:`OpenSource.begin_poll`."""
        self._session.ensure()
        return self._now_msc()

    def shown_msc(self, polled_msc: int) -> int:
        """See :meth:`OpenSource.shown_msc`."""
        return polled_msc

    def is_exhausted(self) -> bool:
        """See :meth:`OpenSource.is_exhausted`."""
        return False

    def begins_msc(self, symbol: str, now_msc: int) -> int:  # the same for every symbol
        """See :meth:`OpenSource.begins_msc`."""
        return now_msc // 1000 * 1000 if self._begins_msc is None else self._begins_msc

    def digits(self, symbol: str) -> int:
        """See :meth:`OpenSource.digits`."""
        return self._session.facts[symbol].digits

    def is_quoted(self, symbol: str) -> bool:
        """See :meth:`OpenSource.is_quoted`."""
        return self._session.facts[symbol].chart_mode == Constants.SYMBOL_CHART_MODE_BID

    def _now_msc(self) -> int:
        return self._host_now_msc()


def open_source(spec: Mt5Spec, *, host_now_msc: Callable[[], int]) -> Mt5Source:
    """Connect the terminal that the sources file describes.

    :raises UsageError: if the platform, the sources file or the account is not as needed
    :raises TerminalUnavailable: if the terminal does not answer
    """
    try:
        module = importlib.import_module("MetaTrader5")
    except ImportError:
        raise UsageError(
            f"{spec.text}: the MetaTrader5 package exists for Windows only; run the poller there"
        ) from None
    description = describe(spec, os.environ.get(SOURCES_FILE))
    return Mt5Source(module, spec=spec, description=description, host_now_msc=host_now_msc)


def describe(spec: Mt5Spec, sources_file: str | None) -> Description:
    """Read a terminal's table from the sources file.

    :raises UsageError: if the file or the table is missing, or a value of it
    """
    if not sources_file:
        raise UsageError(f"{spec.text}: {SOURCES_FILE} names no sources file")
    try:
        table = tomllib.loads(textfiles.read(Path(sources_file))).get(spec.terminal)
    except (OSError, ValueError) as error:
        raise UsageError(f"sources file {sources_file}: cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise UsageError(f"sources file {sources_file}: has no table [{spec.terminal}]")
    where = f"sources file {sources_file}, [{spec.terminal}]"
    password_file = _value(table, "password_file", str, where)
    try:
        password = textfiles.read(Path(password_file)).strip()
    except OSError as error:
        raise UsageError(f"{where}: password_file {password_file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{where}: password_file {password_file}: {error}") from error
    symbols = _symbols(_value(table, "symbols", list, where), where)
    return Description(
        path=_value(table, "path", str, where),
        login=_value(table, "login", int, where),
        password=password,
        server=_value(table, "server", str, where),
        clock=_clock(spec, table, where),
        symbols=symbols,
        trade_mode=_trade_mode(table, where),
        is_portable=_optional(table, "portable", bool, where, False),
        timeout_ms=_optional(table, "timeout_ms", int, where, TIMEOUT_MS),
        priority=_optional(table, "priority", int, where, None),
        rules=mapping.read(table, symbols=symbols, where=where),
    )


def _value(table: dict[str, Any], key: str, kind: type, where: str) -> Any:  # Any: TOML
    value = table.get(key)
    if not isinstance(value, kind) or not value:
        raise UsageError(f"{where}: {key} is missing or is no {kind.__name__}")
    return value


def _optional(table: dict[str, Any], key: str, kind: type[Any], where: str, default: Any) -> Any:  # Any: TOML
    """Return a value that need not be given; a number lies above 0 and within 16 bits or, for times, 32."""
    value = table.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UsageError(f"{where}: {key} is no {kind.__name__}")
    most = 2**31 - 1 if key.endswith("_ms") else 2**15 - 1
    if kind is int and not 0 < value <= most:
        raise UsageError(f"{where}: {key} is {value}, expected 1 to {most}")
    return value


def _trade_mode(table: dict[str, Any], where: str) -> int | None:  # Any: TOML
    name = table.get("trade_mode")
    if name is not None and name not in account.TRADE_MODES:
        raise UsageError(f"{where}: trade_mode is {name!r}, expected one of {', '.join(account.TRADE_MODES)}")
    return None if name is None else account.TRADE_MODES[name]


def _clock(spec: Mt5Spec, table: dict[str, Any], where: str) -> ClockRule:  # Any: TOML
    """Return the terminal's clock; one of SPEC and sources file has to tell it, none is guessed."""
    if spec.clock is not None:
        return spec.clock
    text = _value(table, "clock", str, where)
    try:
        return zones.parse(text)
    except ValueError as error:
        raise UsageError(f"{where}: clock {text}: {error}") from None


def _symbols(values: list[object], where: str) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str) or not 0 < len(value) <= specs.SYMBOL_CHARS_MAX:
            raise UsageError(f"{where}: {value!r} is no symbol")
    if len(set(values)) != len(values):
        raise UsageError(f"{where}: a symbol is given twice")
    return tuple(str(value) for value in values)
