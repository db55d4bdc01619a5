"""What a terminal says of a symbol: the facts of an instrument that a broker may change."""

import math
from dataclasses import asdict, dataclass

# What the generated market calls its server; behind an agent nothing else tells it from a terminal.
SIM_SERVER = "Simulated-Demo"


@dataclass(frozen=True, slots=True)
class SymbolFacts:
    """Some fields of SymbolInfo, under their names; numbers as the terminal gave them, those that are none as 0."""

    digits: int
    point: float
    chart_mode: int
    trade_mode: int
    trade_tick_size: float
    trade_contract_size: float
    currency_base: str
    currency_profit: str
    path: str

    @classmethod
    def of(cls, info: object) -> "SymbolFacts":
        """Take them from a SymbolInfo."""
        values = {name: getattr(info, name) for name in cls.__slots__}
        # NaN differs from itself: it would be a change each time.
        none = {name: 0.0 for name, value in values.items() if isinstance(value, float) and not math.isfinite(value)}
        return cls(**(values | none))

    def differences(self, earlier: "SymbolFacts") -> dict[str, list[object]]:
        """Return what changed, as ``{name: [before, now]}``."""
        before = asdict(earlier)
        return {name: [before[name], value] for name, value in asdict(self).items() if value != before[name]}
