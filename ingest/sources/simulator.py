"""A simulated MetaTrader 5 terminal: the surface of the module that capture uses, playing tapes.

It behaves as MT5.md records of the real one: no call raises, a failure is None or False with ``last_error``, dates
are floored to whole seconds of the terminal's clock, a symbol shows no ticks until it is selected.
"""

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from ingest.sources import arguments, structs
from ingest.sources.arguments import InvalidArguments
from ingest.sources.constants import Constants
from ingest.sources.fetching import Fetching
from ingest.sources.structs import StructSequence
from ingest.sources.tape import Tape
from tickhub.core import clock, zones
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Ticks

_T = TypeVar("_T")

LOGIN = 5_000_001
SUCCESS = (Constants.RES_S_OK, "Success")
NO_CONNECTION = (Constants.RES_E_INTERNAL_FAIL_CONNECT, "No IPC connection")
NOT_FOUND = (Constants.RES_E_NOT_FOUND, "Terminal: Not found")
INVALID_ARGUMENTS = (Constants.RES_E_INVALID_PARAMS, "Invalid arguments")
AUTH_FAILED = (Constants.RES_E_AUTH_FAILED, "Terminal: Authorization failed")
_QUOTE = Constants.TICK_FLAG_BID | Constants.TICK_FLAG_ASK
_TRADE = Constants.TICK_FLAG_LAST | Constants.TICK_FLAG_VOLUME | Constants.TICK_FLAG_BUY | Constants.TICK_FLAG_SELL


class CallFailed(Exception):
    """A call ends with this as its ``last_error``; never leaves this module."""

    def __init__(self, error: tuple[int, str]) -> None:
        super().__init__(*error)
        self.error = error


@dataclass(slots=True)
class Faults:
    """Switches for tests. Times are UTC.

    ``fail`` maps a function's name to the errors of its next calls; ``before_call`` runs first in every call and may
    block, as a hung terminal does; ``frozen_msc`` is when the link to the broker broke: nothing newer is shown.
    ``page_limit`` cuts the answers of copy_ticks_from; ``partial_reads`` maps a symbol to how many of its next
    reads show only the older half, as a history that is still synchronising.
    """

    fail: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    before_call: Callable[[str], None] | None = None
    frozen_msc: int | None = None
    page_limit: int | None = None
    partial_reads: dict[str, int] = field(default_factory=dict)
    refuse_initialize: bool = False
    # initialize() attaches to the terminal as it runs, whatever account was asked for.
    ignore_credentials: bool = False
    # How far the machine's clock, by which capture knows the time, is ahead of the time that ticks carry.
    clock_step_ms: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """One symbol of the terminal: what it plays, its decimals, whether it is priced by bid and ask."""

    tape: Tape
    digits: int = 5
    is_quoted: bool = True


class SimulatedTerminal(Constants):
    """A terminal at the time ``now_msc`` tells, in UTC. Not connected until ``initialize``, as the real module."""

    def __init__(
        self,
        listings: Mapping[str, Listing],
        *,
        now_msc: Callable[[], int],
        server: str = "Simulated-Demo",
        login: int = LOGIN,
        host_now_msc: Callable[[], int] = clock.now_msc,
    ) -> None:
        self.faults = Faults()
        self.server = server
        self.account_login = login
        self.trade_mode = Constants.ACCOUNT_TRADE_MODE_DEMO
        # The accounts that login() knows, with their servers.
        self.logins = {login: server}
        self.build = 5000
        self._listings = dict(listings)
        self._fetching = Fetching(host_now_msc=host_now_msc)
        self._now_msc = now_msc
        self._selected: set[str] = set()
        self._is_connected = False
        self._last_error = SUCCESS

    def break_ipc(self) -> None:
        """Lose the pipe: every call fails with -10004 until ``initialize``; selections are lost too."""
        self._is_connected = False
        self._selected.clear()

    def break_link(self) -> None:
        """Lose the broker: calls succeed from what is known by now."""
        self.faults.frozen_msc = self._now_msc()

    def unsynchronise(self, fetching_ms: int) -> None:
        """Forget the history kept on disk: the next read of each symbol begins to fetch it, the oldest rows first.

        The real one waits up to 45 s in a first read; then it answers with what it has, and no sign of it.
        """
        self._fetching.forget(fetching_ms)

    def hide(self, name: str | None) -> None:
        """Take a symbol (None: all) out of Market Watch, as a person may."""
        self._selected -= self._listings.keys() if name is None else {name}

    def change_digits(self, name: str | None) -> None:
        """Show one more decimal of a symbol (None: of all), as a broker may begin to."""
        for symbol in [name] if name in self._listings else list(self._listings):
            listing = self._listings[symbol]
            self._listings[symbol] = replace(listing, digits=listing.digits + 1)

    def restore_link(self, fetching_ms: int = 0) -> None:
        """Find the broker again: the history of the outage arrives, at once or behind the first new tick."""
        if self.faults.frozen_msc is not None and fetching_ms:
            self._fetching.miss(from_msc=self.faults.frozen_msc, to_msc=self._now_msc(), fetching_ms=fetching_ms)
        self.faults.frozen_msc = None

    def initialize(self, *args: object, **settings: object) -> bool:
        """Connect: ``initialize([path], login=, password=, server=, timeout=, portable=)``."""

        def connect() -> bool:
            if self.faults.refuse_initialize:
                raise CallFailed(
                    (Constants.RES_E_INTERNAL_FAIL_INIT, "IPC initialize failed, MetaTrader 5 x64 not found")
                )
            arguments.check_initialize(args, settings)
            if not self.faults.ignore_credentials:
                self._check_account(settings)
            self._is_connected = True
            return True

        return self._call("initialize", connect, False, is_offline=True)

    def login(self, *args: object, **settings: object) -> bool:
        """Change the account: ``login(login, password=, server=, timeout=)``; only the terminal's own succeed."""

        def log_in() -> bool:
            arguments.check_login(args, settings)
            login = args[0] if args else settings.get("login")
            server = self.logins.get(login) if isinstance(login, int) else None
            if not isinstance(login, int) or server is None or settings.get("server", server) != server:
                raise CallFailed(AUTH_FAILED)
            self.account_login, self.server = login, server
            return True

        return self._call("login", log_in, False)

    def _check_account(self, settings: Mapping[str, object]) -> None:
        login, server = settings.get("login"), settings.get("server")
        if (login and login != self.account_login) or (server and server != self.server):
            raise CallFailed(AUTH_FAILED)

    def shutdown(self) -> None:
        """Disconnect."""

        def disconnect() -> None:
            self._is_connected = False

        self._call("shutdown", disconnect, None, is_offline=True)

    def last_error(self) -> tuple[int, str]:
        """Return code and text of the last call."""
        return self._last_error

    def version(self) -> tuple[int, int, str] | None:
        """Return terminal version, build and its date."""
        return self._call("version", lambda: (500, self.build, "25 Apr 2025"), None)

    def terminal_info(self) -> StructSequence | None:
        """Return TerminalInfo; ``connected`` says whether the broker is reached."""

        def read() -> StructSequence:
            is_linked = self.faults.frozen_msc is None
            return structs.fill(
                structs.TerminalInfo,
                {
                    "community_account": False,
                    "community_connection": False,
                    "connected": is_linked,
                    "dlls_allowed": False,
                    "trade_allowed": False,
                    "tradeapi_disabled": True,
                    "email_enabled": False,
                    "ftp_enabled": False,
                    "notifications_enabled": False,
                    "mqid": False,
                    "build": self.build,
                    "maxbars": 100_000,
                    "ping_last": 14_000,
                    "community_balance": 0.0,
                    "retransmission": 0.0,
                    "company": "tickhub",
                    "name": "Simulated terminal",
                    "language": "English",
                },
            )

        return self._call("terminal_info", read, None)

    def account_info(self) -> StructSequence | None:
        """Return AccountInfo of a made-up demo account."""

        def read() -> StructSequence:
            return structs.fill(
                structs.AccountInfo,
                {
                    "login": self.account_login,
                    "trade_mode": self.trade_mode,
                    "leverage": 100,
                    "trade_allowed": False,
                    "trade_expert": False,
                    "margin_mode": Constants.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING,
                    "currency_digits": 2,
                    "fifo_close": False,
                    "balance": 10_000.0,
                    "equity": 10_000.0,
                    "margin_free": 10_000.0,
                    "name": "Simulation",
                    "server": self.server,
                    "currency": "USD",
                    "company": "tickhub",
                },
            )

        return self._call("account_info", read, None)

    def symbols_total(self) -> int | None:
        """Return how many symbols the terminal has."""
        return self._call("symbols_total", lambda: len(self._listings), None)

    def symbols_get(self, *args: object, **settings: object) -> tuple[StructSequence, ...] | None:
        """Return SymbolInfo of all symbols, or of those of ``group``: patterns with ``*``, ``!`` excludes."""

        def read() -> tuple[StructSequence, ...]:
            group = arguments.group(args, settings)
            return tuple(self._symbol_info(name) for name in self._listings if _is_in_group(name, group))

        return self._call("symbols_get", read, None)

    def symbol_info(self, *args: object) -> StructSequence | None:
        """Return SymbolInfo of a symbol."""
        return self._call("symbol_info", lambda: self._symbol_info(self._known(arguments.symbol(args))), None)

    def symbol_info_tick(self, *args: object) -> StructSequence | None:
        """Return the newest Tick of a selected symbol."""

        def read() -> StructSequence:
            newest = self._latest(self._known(arguments.symbol(args)))
            if newest is None:
                raise CallFailed(NOT_FOUND)
            return newest

        return self._call("symbol_info_tick", read, None)

    def symbol_select(self, *args: object, **settings: object) -> bool:
        """Show or hide a symbol: ``symbol_select(symbol, enable=True)``."""

        def select() -> bool:
            name, enable = arguments.selection(args, settings)
            if enable:
                self._selected.add(self._known(name))
            else:
                self._selected.discard(self._known(name))
            return True

        return self._call("symbol_select", select, False)

    def copy_ticks_from(self, *args: object, **settings: object) -> Ticks | None:
        """Return the first ``count`` ticks from a date on: ``copy_ticks_from(symbol, date_from, count, flags)``."""

        def read() -> Ticks:
            name, from_s, count, flags = arguments.ticks_from(args, settings)
            if self.faults.page_limit is not None:
                count = min(count, self.faults.page_limit)
            if flags == Constants.COPY_TICKS_ALL and not self._fetching.has_hole:
                return self._history(name, lambda tape, now: tape.forward(from_s * 1000, count, now))
            ticks = self._history(name, lambda tape, now: tape.between(from_s * 1000, zones.LATEST_MSC, now))
            return _only(ticks, flags)[:count].copy()

        return self._call("copy_ticks_from", read, None)

    def copy_ticks_range(self, *args: object, **settings: object) -> Ticks | None:
        """Return the ticks between two dates, both inclusive: ``copy_ticks_range(symbol, from, to, flags)``."""

        def read() -> Ticks:
            name, from_s, to_s, flags = arguments.ticks_range(args, settings)
            ticks = self._history(name, lambda tape, now: tape.between(from_s * 1000, to_s * 1000, now))
            return _only(ticks, flags)

        return self._call("copy_ticks_range", read, None)

    def _call(self, name: str, action: Callable[[], _T], failure: _T, *, is_offline: bool = False) -> _T:
        """Run one call as the module does: the error is reset first, a failure is stored and returned."""
        self._last_error = SUCCESS
        if self.faults.before_call is not None:
            self.faults.before_call(name)
        try:
            self._fail_if_planned(name, is_offline=is_offline)
            return action()
        except CallFailed as failed:
            self._last_error = failed.error
        except InvalidArguments:
            self._last_error = INVALID_ARGUMENTS
        return failure

    def _fail_if_planned(self, name: str, *, is_offline: bool) -> None:
        planned = self.faults.fail.get(name)
        if planned:
            raise CallFailed(planned.pop(0))
        if not self._is_connected and not is_offline:
            raise CallFailed(NO_CONNECTION)

    def _visible_msc(self) -> int:
        now_msc = self._now_msc()
        return now_msc if self.faults.frozen_msc is None else min(now_msc, self.faults.frozen_msc)

    def _known(self, name: str) -> str:
        if name not in self._listings:
            raise CallFailed(NOT_FOUND)
        return name

    def _history(self, name: str, read: Callable[[Tape, int], Ticks]) -> Ticks:
        tape = self._listings[self._known(name)].tape
        if name not in self._selected:
            return tick_arrays.empty().copy()
        ticks = read(tape, self._visible_msc())
        left = self.faults.partial_reads.get(name, 0)
        if left:
            self.faults.partial_reads[name] = left - 1
            return ticks[: len(ticks) // 2].copy()
        return self._fetching.shown(name, ticks, tape)

    def _latest(self, name: str) -> StructSequence | None:
        if name not in self._selected:
            return None
        newest = self._listings[name].tape.latest(self._visible_msc())
        return structs.Tick(newest[0].item()) if len(newest) else None

    def _symbol_info(self, name: str) -> StructSequence:
        listing, newest = self._listings[name], self._latest(name)
        is_selected = name in self._selected
        point = 10.0**-listing.digits
        values: dict[str, Any] = {  # Any: each field has its type
            "custom": False,
            "chart_mode": Constants.SYMBOL_CHART_MODE_BID if listing.is_quoted else Constants.SYMBOL_CHART_MODE_LAST,
            "select": is_selected,
            "visible": is_selected,
            "digits": listing.digits,
            "spread_float": True,
            "trade_mode": Constants.SYMBOL_TRADE_MODE_DISABLED,
            "point": point,
            "trade_tick_size": point,
            "trade_contract_size": 100_000.0,
            "currency_base": name[:3],
            "currency_profit": name[3:6],
            "name": name,
            "path": f"Simulation\\{name}",
        }
        if newest is not None:
            values |= {side: getattr(newest, side) for side in ("time", "bid", "ask", "last", "volume", "volume_real")}
            values["spread"] = (
                round((newest.ask - newest.bid) / point) if np.isfinite([newest.ask, newest.bid]).all() else 0
            )
        return structs.fill(structs.SymbolInfo, values)


def _only(ticks: Ticks, flags: int) -> Ticks:
    if flags == Constants.COPY_TICKS_ALL:
        return ticks
    wanted = _QUOTE if flags == Constants.COPY_TICKS_INFO else _TRADE
    chosen: Ticks = ticks[ticks["flags"] & wanted != 0]
    return chosen


def _is_in_group(name: str, group: str | None) -> bool:
    """Apply the conditions of a group in order; the last one that fits decides."""
    if group is None:
        return True
    is_in = False
    for condition in group.split(","):
        pattern = condition.strip()
        if pattern and fnmatch.fnmatchcase(name, pattern.removeprefix("!")):
            is_in = not pattern.startswith("!")
    return is_in
