"""Which instrument a broker's symbol is. Nothing is guessed: a suffix counts only where the sources file says so."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest.sources.terminal import SAME, Mapped
from tickhub.core.errors import UsageError

_CODE_CHARS_MAX = 30


@dataclass(frozen=True, slots=True)
class Rules:
    """``instruments`` maps single symbols to codes; ``suffix`` is cut off the symbols that end with it."""

    instruments: Mapping[str, str] = field(default_factory=dict)
    suffix: str | None = None

    def of(self, symbol: str) -> Mapped:
        """Return the instrument of a symbol, and the rule that says so."""
        if symbol in self.instruments:
            return Mapped(self.instruments[symbol], "instruments of the sources file")
        if self.suffix and symbol.endswith(self.suffix) and symbol != self.suffix:
            return Mapped(symbol.removesuffix(self.suffix), f"suffix {self.suffix} of the sources file")
        return Mapped(symbol, SAME)


def read(table: Mapping[str, Any], *, symbols: tuple[str, ...], where: str) -> Rules:  # Any: TOML
    """Read ``instruments`` and ``suffix`` of a terminal's table.

    :raises UsageError: if a value is none, a symbol is not captured, or two symbols are the same instrument
    """
    instruments, suffix = table.get("instruments", {}), table.get("suffix")
    if not isinstance(instruments, dict):
        raise UsageError(f"{where}: instruments is no table of symbol = code")
    for symbol, code in instruments.items():
        if symbol not in symbols:
            raise UsageError(f"{where}: instruments names {symbol}, which is not among its symbols")
        if not isinstance(code, str) or not 0 < len(code) <= _CODE_CHARS_MAX or code != code.strip():
            raise UsageError(f"{where}: instruments says that {symbol} is {code!r}, which is no code")
    if suffix is not None and (not isinstance(suffix, str) or not 0 < len(suffix) < _CODE_CHARS_MAX):
        raise UsageError(f"{where}: suffix is {suffix!r}, expected an ending such as .m")
    rules = Rules(instruments, suffix)
    _refuse_twins(rules, symbols, where)
    return rules


def _refuse_twins(rules: Rules, symbols: tuple[str, ...], where: str) -> None:
    """Refuse two symbols that would be one instrument: one source has one series of each."""
    known: dict[str, str] = {}
    for symbol in symbols:
        code = rules.of(symbol).code
        if code in known:
            raise UsageError(f"{where}: {known[code]} and {symbol} would both be the instrument {code}")
        known[code] = symbol
