"""Keeps a terminal connected: initialises it, checks its account, selects the symbols, and tells how it is.

The three ways a terminal fails: calls fail until ``initialize`` (IPC lost), calls succeed from old ticks (link lost),
and a call that does not return, which nothing in this process can notice: a watchdog outside does.
"""

import logging
from collections.abc import Callable
from typing import Any

from ingest.sources.account import Expected, WrongAccount
from ingest.sources.breaker import Breaker
from ingest.sources.terminal import Connectable, Link
from tickhub.core import clock
from tickhub.core.errors import TickhubError, TransientError, UsageError
from tickhub.core.symbols import SymbolFacts

__all__ = ["Session", "TerminalUnavailable", "UnknownSymbol", "WrongAccount"]

logger = logging.getLogger(__name__)

# How often the symbols are looked at: whether they are still shown, and what is said of them.
LOOK_S = 5.0
# RES_E_NOT_FOUND of the package.
_NOT_FOUND = -4


class UnknownSymbol(UsageError):
    """The terminal knows no symbol of that name."""


class TerminalUnavailable(TransientError):
    """The terminal could not be initialised, or does not show a symbol."""


class Session:
    """One connection. ``label`` names the source in messages; logins and passwords are in none of them."""

    def __init__(
        self,
        terminal: Connectable,
        *,
        label: str,
        symbols: tuple[str, ...],
        expected: Expected,
        path: tuple[str, ...] = (),
        settings: dict[str, Any] | None = None,  # Any: what initialize() takes as keywords
        breaker: Breaker | None = None,
        now_s: Callable[[], float] = clock.monotonic_s,
    ) -> None:
        self._terminal = terminal
        self._label = label
        self._symbols = symbols
        self._expected = expected
        self._path = path
        self._settings = settings or {}
        self._now_s = now_s
        self._looked_s = 0.0
        self.breaker = breaker or Breaker(now_s=now_s)
        self.link = Link.IPC_LOST
        # Counts what makes the terminal fetch its history anew: connections, links that came back, symbols shown again.
        self.connections = 0
        self.facts: dict[str, SymbolFacts] = {}

    def open(self) -> None:
        """Connect, check the account, select every symbol.

        :raises WrongAccount: if the terminal is on another account or server
        :raises UnknownSymbol: if it knows no such symbol
        :raises TerminalUnavailable: if it cannot be initialised, or a symbol not be selected
        """
        if not self._terminal.initialize(*self._path, **self._settings):
            raise TerminalUnavailable(self._problem("cannot be initialised"))
        self._check(self._account())
        for symbol in self._symbols:
            if not self._terminal.symbol_select(symbol, True):
                raise self._refused(symbol)
        self.connections += 1
        self._look_at_link()
        self._look_at_symbols()

    def ensure(self) -> None:
        """Look at the connection; where it was lost, connect again as the breaker allows. Reads tell while it is not.

        :raises WrongAccount: if the terminal is on another account or server by now
        :raises UnknownSymbol: if it no longer knows a symbol
        """
        account = self._terminal.account_info()
        if account is None:
            self._reconnect()
            return
        self._check(account)
        self._look_at_link()
        if self._now_s() - self._looked_s >= LOOK_S:
            self._look_at_symbols()

    def _reconnect(self) -> None:
        if self.link is not Link.IPC_LOST:
            self.link = Link.IPC_LOST
            logger.warning(self._problem("no longer answers"), extra={"source": self._label})
        if not self.breaker.may_try():
            return
        try:
            self.open()
        except TerminalUnavailable as error:
            # The poll that follows meets the same error, and records it with the symbol.
            self.breaker.failed()
            logger.warning(
                "terminal not connected again",
                extra={
                    "source": self._label,
                    "error": str(error),
                    "failures": self.breaker.failures,
                    "circuit": self.breaker.circuit.value,
                    "pause_s": round(self.breaker.remaining_s(), 1),
                },
            )
            return
        self.breaker.succeeded()
        logger.info("terminal connected again", extra={"source": self._label})

    def _account(self) -> Any:  # Any: AccountInfo has no static type
        """Return the account attached; where that is not ours, log in first: initialize() may attach to any."""
        account = self._terminal.account_info()
        if account is not None and "password" in self._settings and self._expected.problem(account):
            named = {key: self._settings[key] for key in ("password", "server", "timeout") if key in self._settings}
            self._terminal.login(self._settings["login"], **named)
            account = self._terminal.account_info()
        if account is None:
            raise TerminalUnavailable(self._problem("tells no account"))
        return account

    def _check(self, account: Any) -> None:  # Any: as above
        try:
            self._expected.check(account, label=self._label)
        except WrongAccount:
            self.link = Link.WRONG_ACCOUNT
            raise

    def _look_at_link(self) -> None:
        info = self._terminal.terminal_info()
        if info is None:
            # The next look finds the connection lost; nothing is claimed until then.
            return
        before, self.link = self.link, Link.CONNECTED if info.connected else Link.LINK_LOST
        if before is Link.CONNECTED and self.link is Link.LINK_LOST:
            logger.warning("terminal lost its broker: it shows old ticks", extra={"source": self._label})
        if before is Link.LINK_LOST and self.link is Link.CONNECTED:
            self.connections += 1
            logger.info("terminal found its broker again", extra={"source": self._label})

    def _look_at_symbols(self) -> None:
        """Read what the terminal says of each symbol, and show again what somebody has hidden."""
        self._looked_s = self._now_s()
        for symbol in self._symbols:
            info = self._terminal.symbol_info(symbol)
            if info is None:
                continue
            self.facts[symbol] = SymbolFacts.of(info)
            if not info.select and self._terminal.symbol_select(symbol, True):
                self.connections += 1
                logger.warning("symbol was hidden, shown again", extra={"source": self._label, "symbol": symbol})

    def _refused(self, symbol: str) -> TickhubError:
        """Tell a symbol that the terminal does not know from one that it cannot show now."""
        code, _ = self._terminal.last_error()
        problem = self._problem(f"does not show {symbol}")
        return UnknownSymbol(problem) if code == _NOT_FOUND else TerminalUnavailable(problem)

    def _problem(self, what: str) -> str:
        code, text = self._terminal.last_error()
        return f"{self._label}: the terminal {what}: error {code} {text}"
