"""Keeps a terminal connected: initialises it, checks that it is the account we expect, selects the symbols."""

from typing import Any

from ingest.sources.terminal import Connectable
from tickhub.core.errors import TickhubError, TransientError, UsageError

RETRY_AFTER_MS = 5_000
# RES_E_NOT_FOUND of the package.
_NOT_FOUND = -4


class WrongAccount(UsageError):
    """The terminal is on another account or server than configured: its ticks must not be stored."""


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
        login: int | None = None,
        server: str | None = None,
        path: tuple[str, ...] = (),
        settings: dict[str, Any] | None = None,  # Any: what initialize() takes as keywords
    ) -> None:
        self._terminal = terminal
        self._label = label
        self._symbols = symbols
        self._login = login
        self._server = server
        self._path = path
        self._settings = settings or {}
        self._tried_msc: int | None = None

    def open(self) -> None:
        """Connect, check the account, select every symbol.

        :raises WrongAccount: if the terminal is on another account or server
        :raises UnknownSymbol: if it knows no such symbol
        :raises TerminalUnavailable: if it cannot be initialised, or a symbol not be selected
        """
        if not self._terminal.initialize(*self._path, **self._settings):
            raise TerminalUnavailable(self._problem("cannot be initialised"))
        account = self._terminal.account_info()
        if account is None:
            raise TerminalUnavailable(self._problem("tells no account"))
        self._check(account)
        for symbol in self._symbols:
            if not self._terminal.symbol_select(symbol, True):
                raise self._refused(symbol)

    def ensure(self, now_msc: int) -> None:
        """Connect again where the connection was lost, at most every five seconds; reads tell while it is not.

        :raises WrongAccount: if the terminal is on another account or server by now
        """
        account = self._terminal.account_info()
        if account is not None:
            self._check(account)
            return
        if self._tried_msc is not None and now_msc - self._tried_msc < RETRY_AFTER_MS:
            return
        self._tried_msc = now_msc
        try:
            self.open()
        except TerminalUnavailable:
            # The poll that follows meets the same error, and records it with the symbol.
            return
        self._tried_msc = None

    def _check(self, account: Any) -> None:  # Any: AccountInfo has no static type
        if self._login is not None and account.login != self._login:
            raise WrongAccount(f"{self._label}: the terminal is on another account than configured")
        if self._server is not None and account.server != self._server:
            raise WrongAccount(f"{self._label}: the terminal is on server {account.server}, not {self._server}")

    def _refused(self, symbol: str) -> TickhubError:
        """Tell a symbol that the terminal does not know from one that it cannot show now."""
        code, _ = self._terminal.last_error()
        problem = self._problem(f"does not show {symbol}")
        return UnknownSymbol(problem) if code == _NOT_FOUND else TerminalUnavailable(problem)

    def _problem(self, what: str) -> str:
        code, text = self._terminal.last_error()
        return f"{self._label}: the terminal {what}: error {code} {text}"
