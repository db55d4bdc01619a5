"""The reading surface of the MetaTrader5 package: the functions named here can be called, and no other.

The module itself is not kept. Each call is timed, since a terminal may hang in any of them; whoever watches this
process is told before a call that may take long. Rows are handed out only if the terminal is on the expected account
after it answered.
"""

from collections.abc import Callable
from typing import Any

from ingest import heartbeat
from ingest.sources.account import Expected
from ingest.sources.constants import Constants
from tickhub.core import clock
from tickhub.core.ticks import Ticks

READING = (
    "initialize",
    "login",
    "shutdown",
    "version",
    "last_error",
    "terminal_info",
    "account_info",
    "symbol_info",
    "symbol_info_tick",
    "symbol_select",
    "copy_ticks_from",
    "copy_ticks_range",
)
# These may take a minute by themselves: they start the terminal.
TIMEOUT_MS = 60_000
_STARTING = frozenset(("initialize", "login"))
HUNG_AFTER_S = 5.0
# A terminal that has to fetch history from its broker answers a read after 45 s at the latest, with what it has.
_FETCHING_S = 60.0
_SLACK_S = 10.0


class ReadingSurface(Constants):
    """Fits :class:`ingest.sources.terminal.Connectable`; ``label`` names the source in messages."""

    def __init__(
        self,
        module: object,
        *,
        label: str,
        expected: Expected,
        now_s: Callable[[], float] = clock.monotonic_s,
    ) -> None:
        # Any: functions of C without types.
        self._functions: dict[str, Callable[..., Any]] = {name: getattr(module, name) for name in READING}
        self._label = label
        self._expected = expected
        self._now_s = now_s
        # Seconds spent in calls that took too long and came back after all.
        self.hung_s = 0.0
        # The earliest second that was read of each symbol since the terminal last had to fetch its history.
        self._read_from: dict[str, int] = {}
        self._has_broker = False

    def initialize(self, *path: str, **settings: Any) -> bool:  # Any: login int, password str, timeout int, …
        """Connect to the terminal, starting it if need be."""
        # It waits for a terminal that it started for up to a hundred seconds, whatever the timeout is.
        may_take_s = 2 * max(_timeout_s(settings), TIMEOUT_MS / 1000) + _SLACK_S
        is_connected = bool(self._call("initialize", *path, may_take_s=may_take_s, **settings))
        if is_connected:
            self._read_from.clear()
        return is_connected

    def login(self, login: int, **settings: Any) -> bool:  # Any: as above
        """Log in to an account."""
        return bool(self._call("login", login, may_take_s=_timeout_s(settings) + _SLACK_S, **settings))

    def shutdown(self) -> None:
        """Disconnect."""
        self._call("shutdown")

    def version(self) -> tuple[int, int, str] | None:
        """Return version, build and date of the terminal."""
        return self._call("version")

    def last_error(self) -> tuple[int, str]:
        """Return code and text of the last call."""
        return self._call("last_error")

    def terminal_info(self) -> Any | None:  # Any: TerminalInfo
        """Return TerminalInfo."""
        info = self._call("terminal_info")
        if info is not None:
            if info.connected and not self._has_broker:
                self._read_from.clear()
            self._has_broker = bool(info.connected)
        return info

    def account_info(self) -> Any | None:  # Any: AccountInfo
        """Return AccountInfo."""
        return self._call("account_info")

    def symbol_info(self, symbol: str, /) -> Any | None:  # Any: SymbolInfo
        """Return SymbolInfo of a symbol."""
        return self._call("symbol_info", symbol)

    def symbol_info_tick(self, symbol: str, /) -> Any | None:  # Any: Tick
        """Return the newest Tick of a symbol."""
        return self._call("symbol_info_tick", symbol)

    def symbol_select(self, symbol: str, enable: bool = True, /) -> bool:
        """Show or hide a symbol."""
        self._read_from.pop(symbol, None)
        return bool(self._call("symbol_select", symbol, enable))

    def copy_ticks_from(self, symbol: str, date_from: int, count: int, flags: int, /) -> Ticks | None:
        """Return at most ``count`` ticks from a second on.

        :raises ingest.sources.account.WrongAccount: if they are another account's
        """
        return self._read("copy_ticks_from", symbol, date_from, count, flags)

    def copy_ticks_range(self, symbol: str, date_from: int, date_to: int, flags: int, /) -> Ticks | None:
        """Return the ticks between two seconds, both inclusive.

        :raises ingest.sources.account.WrongAccount: if they are another account's
        """
        return self._read("copy_ticks_range", symbol, date_from, date_to, flags)

    def _read(self, name: str, symbol: str, date_from: int, *arguments: int) -> Ticks | None:
        """Read ticks; only the first read of a time, which may have to be fetched, asks for more time than usual."""
        is_first = date_from < self._read_from.get(symbol, date_from + 1)
        ticks = self._call(name, symbol, date_from, *arguments, may_take_s=_FETCHING_S if is_first else 0.0)
        if is_first and ticks is not None:
            self._read_from[symbol] = date_from
        return self._vouched(ticks)

    # Any: as each function takes and gives.
    def _call(self, name: str, *arguments: Any, may_take_s: float = 0.0, **settings: Any) -> Any:
        if may_take_s:
            heartbeat.beat(extra_s=may_take_s)
        started_s = self._now_s()
        answer = self._functions[name](*arguments, **settings)
        took_s = self._now_s() - started_s
        if took_s > HUNG_AFTER_S and name not in _STARTING:
            self.hung_s += took_s
        heartbeat.beat()
        return answer

    def _vouched(self, ticks: Ticks | None) -> Ticks | None:
        """Hand out rows if the account is still the expected one; None, with its error, where none is told."""
        if ticks is None or len(ticks) == 0:
            return ticks
        account = self.account_info()
        if account is None:
            return None
        self._expected.check(account, label=self._label)
        return ticks


def _timeout_s(settings: dict[str, Any]) -> float:  # Any: as above
    return float(settings.get("timeout", TIMEOUT_MS)) / 1000
