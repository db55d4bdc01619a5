"""The real terminal. The only module that imports MetaTrader5, and only where it exists: on Windows."""

import importlib
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ingest.sources import spec as specs
from ingest.sources.constants import Constants
from ingest.sources.session import Session, TerminalUnavailable
from ingest.sources.spec import Mt5Spec
from ingest.sources.terminal import Connectable, Terminal
from tickhub.core import zones
from tickhub.core.errors import UsageError
from tickhub.core.zones import ClockRule

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

    def __repr__(self) -> str:
        return f"Description(path={self.path!r}, server={self.server!r}, symbols={self.symbols!r})"


class Mt5Source:
    """A terminal on this machine. Fits :class:`ingest.sources.terminal.OpenSource`."""

    is_replay = False
    # One process, one terminal: a second process would start another one.
    can_be_reread = False
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        terminal: Connectable,
        *,
        spec: Mt5Spec,
        description: Description,
        host_now_msc: Callable[[], int],
    ) -> None:
        self.terminal: Terminal = terminal
        self.symbols = description.symbols
        self.server_name = description.server
        self.clock = description.clock
        self._host_now_msc = host_now_msc
        self._begins_msc = spec.begins_msc
        self._session = Session(
            terminal,
            label=spec.text,
            symbols=self.symbols,
            login=description.login,
            server=description.server,
            path=(description.path,),
            settings={
                "login": description.login,
                "password": description.password,
                "server": description.server,
            },
        )
        self._session.open()
        self._digits = {symbol: self._info(symbol).digits for symbol in self.symbols}
        self._is_quoted = {
            symbol: self._info(symbol).chart_mode == Constants.SYMBOL_CHART_MODE_BID for symbol in self.symbols
        }
        self.start_msc = self._now_msc()

    def begin_poll(self) -> int:
        """See :meth:`OpenSource.begin_poll`."""
        self._session.ensure(self._now_msc())
        return self._now_msc()

    def is_exhausted(self) -> bool:
        """See :meth:`OpenSource.is_exhausted`."""
        return False

    def begins_msc(self, symbol: str, now_msc: int) -> int:  # the same for every symbol
        """See :meth:`OpenSource.begins_msc`."""
        return now_msc // 1000 * 1000 if self._begins_msc is None else self._begins_msc

    def digits(self, symbol: str) -> int:
        """See :meth:`OpenSource.digits`."""
        return int(self._digits[symbol])

    def is_quoted(self, symbol: str) -> bool:
        """See :meth:`OpenSource.is_quoted`."""
        return bool(self._is_quoted[symbol])

    def _now_msc(self) -> int:
        return self._host_now_msc()

    def _info(self, symbol: str) -> Any:  # Any: SymbolInfo has no static type
        info = self.terminal.symbol_info(symbol)
        if info is None:
            code, text = self.terminal.last_error()
            raise TerminalUnavailable(f"the terminal does not describe {symbol}: error {code} {text}")
        return info


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
    # The module has the functions of the protocol; it carries no types.
    return Mt5Source(cast("Connectable", module), spec=spec, description=description, host_now_msc=host_now_msc)


def describe(spec: Mt5Spec, sources_file: str | None) -> Description:
    """Read a terminal's table from the sources file.

    :raises UsageError: if the file or the table is missing, or a value of it
    """
    if not sources_file:
        raise UsageError(f"{spec.text}: {SOURCES_FILE} names no sources file")
    try:
        table = tomllib.loads(Path(sources_file).read_text(encoding="utf-8")).get(spec.terminal)
    except (OSError, ValueError) as error:
        raise UsageError(f"sources file {sources_file}: cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise UsageError(f"sources file {sources_file}: has no table [{spec.terminal}]")
    where = f"sources file {sources_file}, [{spec.terminal}]"
    password_file = _value(table, "password_file", str, where)
    try:
        password = Path(password_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(f"{where}: password_file {password_file} cannot be read: {error.strerror}") from error
    return Description(
        path=_value(table, "path", str, where),
        login=_value(table, "login", int, where),
        password=password,
        server=_value(table, "server", str, where),
        clock=_clock(spec, table, where),
        symbols=_symbols(_value(table, "symbols", list, where), where),
    )


def _value(table: dict[str, Any], key: str, kind: type, where: str) -> Any:  # Any: TOML
    value = table.get(key)
    if not isinstance(value, kind) or not value:
        raise UsageError(f"{where}: {key} is missing or is no {kind.__name__}")
    return value


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
