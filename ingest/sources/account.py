"""The account that a terminal must be on: ticks of another one are another broker's, and must not be stored."""

from dataclasses import dataclass
from typing import Any

from ingest.sources.constants import Constants
from tickhub.core.errors import UsageError

TRADE_MODES = {
    "demo": Constants.ACCOUNT_TRADE_MODE_DEMO,
    "contest": Constants.ACCOUNT_TRADE_MODE_CONTEST,
    "real": Constants.ACCOUNT_TRADE_MODE_REAL,
}
_NAMES = {value: name for name, value in TRADE_MODES.items()}


class WrongAccount(UsageError):
    """The terminal is on another account, server or trade mode than configured: its ticks must not be stored."""


@dataclass(frozen=True, slots=True, repr=False)
class Expected:
    """What is compared; None is not. Account numbers are never shown but for their last three digits."""

    login: int | None = None
    server: str | None = None
    trade_mode: int | None = None

    def __repr__(self) -> str:
        return f"Expected(login={masked(self.login)}, server={self.server!r}, trade_mode={self.trade_mode})"

    def problem(self, account: Any) -> str | None:  # Any: AccountInfo has no static type
        """Return what is wrong with an account, None where it is the expected one."""
        if self.login is not None and account.login != self.login:
            return "is on another account than configured"
        if self.server is not None and account.server != self.server:
            return f"is on server {account.server}, not {self.server}"
        if self.trade_mode is not None and account.trade_mode != self.trade_mode:
            return f"is on a {_name(account.trade_mode)} account, not a {_name(self.trade_mode)} one"
        return None

    def check(self, account: Any, *, label: str) -> None:  # Any: see above
        """Refuse any account but the expected one; ``label`` names the source in the message.

        :raises WrongAccount: saying what differs
        """
        problem = self.problem(account)
        if problem is not None:
            raise WrongAccount(f"{label}: the terminal {problem}")


def masked(login: int | None) -> str:
    """Return an account number as it may be shown: the last three digits, of which a short number shows none."""
    if login is None:
        return "none"
    digits = str(login)
    return f"…{digits[-3:]}" if len(digits) > 5 else "…"


def _name(trade_mode: int) -> str:
    return _NAMES.get(trade_mode, f"trade mode {trade_mode}")
