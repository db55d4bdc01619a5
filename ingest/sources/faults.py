"""Makes a simulated terminal fail as a real one does, by plan: a file of JSON lines, read while it grows.

Each line is one fault: ``{"kind": "link_lost", "at_msc": 1772452800000, "for_ms": 5000}``. ``at_msc`` is the host's
time (UTC); without it the fault begins when a running process finds the line, and no process that starts later meets
it. docs/testing.md describes the kinds.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ingest.sources.simulator import SimulatedTerminal
from tickhub.core import clock
from tickhub.core.errors import UsageError

VARIABLE = "TICKHUB_FAULT_FILE"
_FOR_EVER = 1 << 62
_LOOK_MS = 10


class Kind(StrEnum):
    """What can be planned."""

    IPC_LOST = "ipc_lost"
    IPC_TIMEOUT = "ipc_timeout"
    LINK_LOST = "link_lost"
    HANG = "hang"
    OTHER_ACCOUNT = "other_account"
    OTHER_SERVER = "other_server"
    UPDATE_RESTART = "update_restart"
    SLOW_HISTORY = "slow_history"
    SYMBOL_HIDDEN = "symbol_hidden"
    DIGITS_CHANGED = "digits_changed"
    CLOCK_STEPPED = "clock_stepped"


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault of the file; times are the host's, ``[from_msc, to_msc)``."""

    line: int
    kind: Kind
    from_msc: int
    to_msc: int
    symbol: str | None
    by_ms: int = 0
    fetch_ms: int = 0


def of_environment() -> Path | None:
    """Return the file that the environment names, None where it names none.

    :raises UsageError: in production, where no fault may be made
    """
    path = os.environ.get(VARIABLE)
    if path is None:
        return None
    if os.environ.get("TICKHUB_ENVIRONMENT") == "production":
        raise UsageError(f"{VARIABLE} makes simulated terminals fail and cannot be set in production")
    return Path(path)


class Driver:
    """Reads a fault file and applies it to one terminal, before each of its calls."""

    def __init__(
        self, terminal: SimulatedTerminal, path: Path, *, host_now_msc: Callable[[], int] = clock.now_msc
    ) -> None:
        self._terminal = terminal
        self._path = path
        self._now_msc = host_now_msc
        self._started_msc = host_now_msc()
        self._looked_msc = self._started_msc
        self._offset = self._lines = 0
        self._waiting: list[Planned] = []
        self._active: list[Planned] = []
        self._read(is_first=True)
        terminal.faults.before_call = self

    def __call__(self, name: str) -> None:
        """Begin and end what is due, and block as long as a hang lasts.

        :raises UsageError: if a line of the file cannot be read
        """
        now_msc = self._now_msc()
        if now_msc - self._looked_msc >= _LOOK_MS:
            self._looked_msc = now_msc
            self._read(is_first=False)
        for planned in [p for p in self._waiting if p.from_msc <= now_msc]:
            self._waiting.remove(planned)
            if planned.to_msc > now_msc or planned.from_msc >= self._started_msc:
                self._active.append(planned)
                self._begin(planned)
        for planned in [p for p in self._active if p.to_msc <= now_msc]:
            self._active.remove(planned)
            self._end(planned)
        self._refuse(name)

    def _read(self, *, is_first: bool) -> None:
        """Take the whole lines that were added since the last look; an absent file has none."""
        if not self._path.exists() or self._path.stat().st_size <= self._offset:
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]
        self._offset += len(text)
        for line in text.splitlines():
            self._lines += 1
            planned = self._parse(line.decode(errors="replace"))
            if planned is not None and not (is_first and "at_msc" not in json.loads(line)):
                self._waiting.append(planned)

    def _parse(self, line: str) -> Planned | None:
        if not line.strip():
            return None
        where = f"{VARIABLE}={self._path}, line {self._lines}"
        try:
            fields = json.loads(line)
            kind = Kind(fields["kind"])
            from_msc = int(fields.get("at_msc", self._now_msc()))
            lasting = _FOR_EVER if kind is Kind.HANG else 0
            to_msc = from_msc + int(fields.get("for_ms", lasting))
            by_ms = int(fields["by_ms"]) if kind is Kind.CLOCK_STEPPED else 0
            fetch_ms = int(fields.get("fetch_ms", 0))
            return Planned(self._lines, kind, from_msc, to_msc, fields.get("symbol"), by_ms, fetch_ms)
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{where}: no fault: {error!r}; kinds: {', '.join(Kind)}") from None

    def _begin(self, planned: Planned) -> None:
        terminal = self._terminal
        if planned.kind in (Kind.IPC_LOST, Kind.UPDATE_RESTART, Kind.OTHER_ACCOUNT, Kind.OTHER_SERVER):
            terminal.break_ipc()
        if planned.kind is Kind.OTHER_ACCOUNT:
            terminal.account_login += 1
        elif planned.kind is Kind.OTHER_SERVER:
            terminal.server = f"Other-{terminal.server}"
        elif planned.kind is Kind.LINK_LOST:
            terminal.break_link()
        elif planned.kind is Kind.SLOW_HISTORY:
            terminal.unsynchronise(planned.to_msc - planned.from_msc)
        elif planned.kind is Kind.SYMBOL_HIDDEN:
            terminal.hide(planned.symbol)
        elif planned.kind is Kind.DIGITS_CHANGED:
            terminal.change_digits(planned.symbol)
        elif planned.kind is Kind.CLOCK_STEPPED:
            terminal.faults.clock_step_ms += planned.by_ms

    def _end(self, planned: Planned) -> None:
        terminal = self._terminal
        if planned.kind is Kind.OTHER_ACCOUNT:
            terminal.account_login -= 1
        elif planned.kind is Kind.OTHER_SERVER:
            terminal.server = terminal.server.removeprefix("Other-")
        elif planned.kind is Kind.LINK_LOST:
            terminal.restore_link(planned.fetch_ms)
        elif planned.kind is Kind.UPDATE_RESTART:
            terminal.build += 1
        elif planned.kind is Kind.CLOCK_STEPPED:
            terminal.faults.clock_step_ms -= planned.by_ms

    def _refuse(self, name: str) -> None:
        kinds = {planned.kind for planned in self._active}
        self._terminal.faults.refuse_initialize = bool(kinds & {Kind.IPC_LOST, Kind.UPDATE_RESTART})
        if Kind.IPC_TIMEOUT in kinds and name.startswith("copy_ticks"):
            self._terminal.faults.fail[name] = [(self._terminal.RES_E_INTERNAL_FAIL_TIMEOUT, "IPC timeout")]
        for planned in self._active:
            while planned.kind is Kind.HANG and self._now_msc() < planned.to_msc:
                clock.sleep(0.01)
