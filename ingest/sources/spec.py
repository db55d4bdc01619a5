"""Reads a SPEC, the URL that names a source. Pure, except that a recording's path is resolved."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, TypeVar
from urllib.parse import quote, unquote

from tickhub.core import clock, zones
from tickhub.core.errors import UsageError
from tickhub.core.zones import ClockRule

SYMBOL_CHARS_MAX = 30
NAME_CHARS_MAX = 200
RATE_MAX = 1_000_000.0
# What the column holds.
PRIORITY_MAX = 32_767
DEFAULT_SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """What every SPEC can say. ``begins_msc`` (``from=``) is UTC; ``clock`` is None where not given.

    ``priority`` is None where not given: a known source keeps its own.
    """

    scheme: ClassVar[str]
    text: str
    name: str | None
    clock: ClockRule | None
    begins_msc: int | None
    priority: int | None = field(default=None, kw_only=True)

    @property
    def identity(self) -> str:
        """Return what makes it the same source after a restart."""
        return self.name or self.default_identity()

    def default_identity(self) -> str:
        """Return the identity of a source without ``name=``."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Mt5Spec(SourceSpec):
    """A MetaTrader 5 terminal on this machine, described under ``terminal`` in the sources file."""

    scheme: ClassVar[str] = "mt5"
    terminal: str

    def default_identity(self) -> str:
        """Return scheme and name."""
        return f"mt5:{self.terminal}"


@dataclass(frozen=True, slots=True)
class SimSpec(SourceSpec):
    """A generated market; ``rate`` is in ticks per second over all symbols."""

    scheme: ClassVar[str] = "sim"
    symbols: tuple[str, ...]
    rate: float
    seed: int

    def default_identity(self) -> str:
        """Return scheme, symbols, rate and seed, itself a SPEC."""
        symbols = ",".join(quote(symbol, safe="") for symbol in self.symbols)
        return f"sim:?symbols={symbols}&rate={self.rate:.12g}&seed={self.seed}"


@dataclass(frozen=True, slots=True)
class PlayedSpec(SourceSpec):
    """Files that are played. ``speed`` None means as fast as they are read; ``start_msc`` is UTC."""

    path: Path
    symbol: str | None
    speed: float | None
    start_msc: int | None

    def default_identity(self) -> str:
        """Return scheme and resolved path."""
        return f"{self.scheme}:{self.path}"


@dataclass(frozen=True, slots=True)
class ReplaySpec(PlayedSpec):
    """A recording, or a folder of them."""

    scheme: ClassVar[str] = "replay"


@dataclass(frozen=True, slots=True)
class ProviderSpec(PlayedSpec):
    """Files of a history provider, whose clock belongs to the scheme. ``digits`` None: the scheme's own rule."""

    fixed_clock: ClassVar[ClockRule]
    digits: int | None

    def default_identity(self) -> str:
        """Return scheme, resolved path, and what chooses and scales the prices in it."""
        chosen = {"symbol": self.symbol, "digits": self.digits}
        query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in chosen.items() if value is not None)
        return f"{self.scheme}:{self.path}" + (f"?{query}" if query else "")


@dataclass(frozen=True, slots=True)
class DukascopySpec(ProviderSpec):
    """A mirror of Dukascopy's hour files, or one of them."""

    scheme: ClassVar[str] = "dukascopy"
    fixed_clock: ClassVar[ClockRule] = zones.UTC


@dataclass(frozen=True, slots=True)
class HistDataSpec(ProviderSpec):
    """Tick files of HistData in eastern standard time, which knows no summer time."""

    scheme: ClassVar[str] = "histdata"
    fixed_clock: ClassVar[ClockRule] = zones.fixed(-5 * clock.HOUR_MS)


@dataclass(frozen=True, slots=True)
class TrueFxSpec(ProviderSpec):
    """Tick files of TrueFX."""

    scheme: ClassVar[str] = "truefx"
    fixed_clock: ClassVar[ClockRule] = zones.UTC


@dataclass(frozen=True, slots=True)
class AgentSpec(SourceSpec):
    """What agents send to the bridge."""

    scheme: ClassVar[str] = "agent"

    def default_identity(self) -> str:
        """Return the scheme."""
        return "agent:"


class _Parameters:
    """The parameters of one SPEC, each taken once; ``text`` is the SPEC for messages."""

    def __init__(self, text: str, query: str) -> None:
        self.text = text
        self.values: dict[str, str] = {}
        for item in query.split("&") if query else []:
            key, equals, value = item.partition("=")
            if not key or not equals or not value:
                raise self.error(f"parameter {item!r} is empty, expected key=value")
            if key in self.values:
                raise self.error(f"parameter {key}= is given twice")
            self.values[key] = value

    def error(self, problem: str) -> UsageError:
        return UsageError(f"source {self.text}: {problem}")

    def take(self, key: str, read: Callable[[str], _T]) -> _T | None:
        """Take a parameter away, read; None where it is not given."""
        value = self.values.pop(key, None)
        if value is None:
            return None
        try:
            return read(value)
        except ValueError as error:
            raise self.error(f"{key}={value}: {error}") from None

    def common(self) -> tuple[str | None, ClockRule | None, int | None]:
        """Take what every scheme knows: name, clock, from."""
        name = self.take("name", _name)
        return (
            name,
            self.take("clock", lambda value: zones.parse(unquote(value))),
            self.take("from", lambda v: clock.parse(unquote(v))),
        )

    def refuse_rest(self, scheme: str) -> None:
        if self.values:
            unknown = next(iter(self.values))
            raise self.error(f"{scheme}: has no parameter {unknown}=")


def parse(text: str) -> SourceSpec:
    """Read a SPEC.

    :raises UsageError: in one line that names what is wrong
    """
    scheme, colon, rest = text.partition(":")
    reader = _SCHEMES.get(scheme)
    if not colon or reader is None:
        known = ", ".join(f"{name}:" for name in _SCHEMES)
        raise UsageError(f"source {text!r}: unknown scheme, expected one of {known}")
    if "#" in text:
        raise UsageError(f"source {text}: has a fragment (#…); write %23 where a symbol or path contains #")
    body, _, query = rest.partition("?")
    parameters = _Parameters(text, query)
    priority = parameters.take("priority", _priority)
    spec = reader(parameters, unquote(body))
    parameters.refuse_rest(scheme)
    return spec if priority is None else replace(spec, priority=priority)


def check_scale(spec: SourceSpec, known_text: str) -> None:
    """Check that a known source goes on with the decimals that its prices were captured with.

    :raises UsageError: if its ``digits=`` is another
    """
    known = parse(known_text)
    if isinstance(spec, ProviderSpec) and isinstance(known, ProviderSpec) and spec.digits != known.digits:
        before = "none" if known.digits is None else known.digits
        raise UsageError(
            f"source {spec.text}: it was captured with digits={before}; give it another name= to change it"
        )


def _mt5(parameters: _Parameters, body: str) -> SourceSpec:
    if not body:
        raise parameters.error("expected mt5:NAME, a name from the sources file")
    return Mt5Spec(parameters.text, *parameters.common(), terminal=body)


def _sim(parameters: _Parameters, body: str) -> SourceSpec:
    if body:
        raise parameters.error(f"expected parameters after sim:, as in sim:?rate=50, found {body!r}")
    rate = parameters.take("rate", _rate)
    seed = parameters.take("seed", _seed)
    return SimSpec(
        parameters.text,
        *parameters.common(),
        symbols=parameters.take("symbols", _symbols) or DEFAULT_SYMBOLS,
        rate=50.0 if rate is None else rate,
        seed=1 if seed is None else seed,
    )


def _replay(parameters: _Parameters, body: str) -> SourceSpec:
    if not body:
        raise parameters.error("expected replay:PATH, a recording or a folder of them")
    if "\0" in body:
        raise parameters.error("the path contains a zero byte")
    speed = parameters.take("speed", _speed)
    return ReplaySpec(
        parameters.text,
        *parameters.common(),
        path=Path(body).resolve(),
        symbol=parameters.take("symbol", read_symbol),
        speed=1.0 if speed is None else speed[0],
        start_msc=parameters.take("start", lambda value: clock.parse(unquote(value))),
    )


def _provider(kind: type[ProviderSpec]) -> Callable[[_Parameters, str], SourceSpec]:
    """Return the reader of one provider's SPEC."""

    def read(parameters: _Parameters, body: str) -> SourceSpec:
        if not body or "\0" in body:
            raise parameters.error(f"expected {kind.scheme}:PATH, a file or a folder of them")
        name, given, begins_msc = parameters.common()
        if given not in (None, kind.fixed_clock):
            raise parameters.error(f"clock=: files of {kind.scheme} are at {kind.fixed_clock.text}, always")
        speed = parameters.take("speed", _speed)
        return kind(
            parameters.text,
            name,
            kind.fixed_clock,
            begins_msc,
            path=Path(body).resolve(),
            symbol=parameters.take("symbol", read_symbol),
            speed=1.0 if speed is None else speed[0],
            start_msc=parameters.take("start", lambda value: clock.parse(unquote(value))),
            digits=parameters.take("digits", _digits),
        )

    return read


def _agent(parameters: _Parameters, body: str) -> SourceSpec:
    if body:
        raise parameters.error(f"expected nothing after agent:, found {body!r}")
    return AgentSpec(parameters.text, *parameters.common())


_SCHEMES: dict[str, Callable[[_Parameters, str], SourceSpec]] = {
    "mt5": _mt5,
    "sim": _sim,
    "replay": _replay,
    "agent": _agent,
    **{kind.scheme: _provider(kind) for kind in (DukascopySpec, HistDataSpec, TrueFxSpec)},
}


def read_symbol(text: str) -> str:
    """Read a percent-encoded symbol of at most 30 characters.

    :raises ValueError: if it is empty, too long, or has blanks at an end or control characters
    """
    symbol = unquote(text)
    if not symbol or symbol != symbol.strip() or not symbol.isprintable():
        raise ValueError(f"{symbol!r} is no symbol")
    if len(symbol) > SYMBOL_CHARS_MAX:
        raise ValueError(f"symbol {symbol!r} has {len(symbol)} characters, at most {SYMBOL_CHARS_MAX} are allowed")
    return symbol


def _symbols(text: str) -> tuple[str, ...]:
    symbols = tuple(read_symbol(item) for item in text.split(","))
    for place, symbol in enumerate(symbols):
        if symbol in symbols[:place]:
            raise ValueError(f"symbol {symbol} is given twice")
    return symbols


def _name(text: str) -> str:
    name = unquote(text)
    if name != name.strip() or not name.isprintable() or len(name) > NAME_CHARS_MAX:
        raise ValueError(f"expected at most {NAME_CHARS_MAX} printable characters without blanks at the ends")
    return name


def _rate(text: str) -> float:
    rate = _number(text)
    if not 0 < rate <= RATE_MAX:
        raise ValueError(f"expected ticks per second, above 0 and at most {RATE_MAX:,.0f}")
    return rate


def _seed(text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise ValueError("expected a whole number from 0 on, of at most 18 digits")
    return int(text)


def _priority(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text, re.ASCII) or int(text) > PRIORITY_MAX:
        raise ValueError(f"expected a whole number from 0 to {PRIORITY_MAX}; the lowest is preferred")
    return int(text)


def _digits(text: str) -> int:
    if not re.fullmatch(r"[0-8]", text):
        raise ValueError("expected the decimals of a price, 0 to 8")
    return int(text)


def _speed(text: str) -> tuple[float | None]:
    """Read a speed as a one-tuple, because None is a speed: as fast as it is read."""
    if text == "max":
        return (None,)
    speed = _number(text)
    if not 0 < speed < math.inf:
        raise ValueError("expected max or a number above 0")
    return (speed,)


def _number(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text, re.ASCII):
        raise ValueError("expected a number")
    return float(text)


def with_clock(text: str, rule: ClockRule) -> str:
    """Return a SPEC with another ``clock=``, the rest as it stands."""
    head, _, query = text.partition("?")
    kept = [pair for pair in query.split("&") if pair and not pair.startswith("clock=")]
    return f"{head}?" + "&".join([*kept, f"clock={quote(rule.text, safe='/:')}"])
