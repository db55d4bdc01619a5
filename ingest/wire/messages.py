"""What agents and the bridge say to each other. Times are the terminal's clock, in milliseconds.

``index`` is a symbol's place in the hello, from 0. A cursor is ``(last_msc, taken)``: the newest millisecond captured
and how many of its ticks.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

from ingest.wire import limits
from tickhub.core.digest import Digest
from tickhub.core.symbols import SymbolFacts
from tickhub.core.ticks import Ticks

Cursor: TypeAlias = tuple[int, int]
# A terminal's last_error.
TerminalError: TypeAlias = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol of the terminal; ``begins_msc`` counts only where the bridge does not know the symbol yet.

    ``instrument`` is the code of what it trades and ``mapped_by`` the rule that says so; None is the symbol itself.
    """

    symbol: str
    digits: int
    is_quoted: bool
    begins_msc: int
    instrument: str | None = None
    mapped_by: str | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """The agent's first message. ``instance`` is the same as long as the agent's process lives."""

    protocol: int
    instance: str
    program: str
    server_name: str
    is_replay: bool
    offset_ms: int | None
    now_msc: int
    symbols: tuple[Symbol, ...]
    # The source's place among those of an instrument, the lowest preferred; None leaves it as it is.
    priority: int | None = None
    # The rule of the terminal's clock: the agent keeps to the epochs that it is told, and the times here are UTC.
    clock: str | None = None


@dataclass(frozen=True, slots=True)
class WireEpoch:
    """One epoch of a clock that is switched, on its own wall clock; None where it has no end, or nothing is mixed.

    It is over at ``ends_msc``; no tick from ``until_msc`` on is of it. Before ``mixed_until_msc`` the terminal shows
    an hour of the epoch before among the ticks, and ahead of them.
    """

    offset_ms: int
    ends_msc: int | None
    until_msc: int | None
    mixed_until_msc: int | None


@dataclass(frozen=True, slots=True)
class Welcome:
    """The bridge's answer: where each symbol goes on, in the order of the hello; said again with each epoch."""

    source: str
    cursors: tuple[Cursor, ...]
    protocol: int = limits.PROTOCOL
    window: int = limits.WINDOW
    frame_ticks: int = limits.FRAME_TICKS
    message_bytes: int = limits.MESSAGE_BYTES
    beat_s: int = limits.BEAT_S
    dead_s: int = limits.DEAD_S
    # The epoch that the source stands in; None where the agent has not told the rule of its clock.
    epoch: WireEpoch | None = None


@dataclass(frozen=True, slots=True)
class FramePart:
    """What a symbol shows from its cursor on; ``is_cut``: there is more behind; ``error``: the read failed."""

    index: int
    cursor: Cursor
    ticks: Ticks
    is_cut: bool = False
    error: TerminalError | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What one poll brought; ``now_msc`` is the terminal's time of the poll."""

    number: int
    now_msc: int
    parts: tuple[FramePart, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The bridge's answer to a frame: committed, or refused because it does not start at the cursors."""

    number: int
    is_refused: bool
    cursors: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class DigestRequest:
    """The bridge asks for digests of periods ``(index, from_msc, to_msc)``, with times less ``shift_ms``."""

    request: int
    shift_ms: int
    periods: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Digests:
    """The agent's answer: one digest, or the terminal's error, for each period."""

    request: int
    digests: tuple[Digest | TerminalError, ...]


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """The bridge asks for the ticks of a period."""

    request: int
    index: int
    from_msc: int
    to_msc: int


@dataclass(frozen=True, slots=True)
class Rows:
    """The agent's answer, or a part of it: ``has_more`` says that another message follows.

    ``now_msc`` is the terminal's time once they were read, 0 where it is not told.
    """

    request: int
    ticks: Ticks
    has_more: bool
    now_msc: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """The agent's answer to a read that the terminal refused."""

    request: int
    error: TerminalError


@dataclass(frozen=True, slots=True)
class Condition:
    """How an agent's terminal is; the states are those of ``ingest.sources.terminal`` and ``breaker``.

    ``hung_ms`` adds up the calls that hung since the program began. ``doubted_msc``: since then the history shown may
    lack rows, which the terminal is still fetching; None where it is whole.
    """

    link: str = "CONNECTED"
    circuit: str = "CLOSED"
    failures: int = 0
    hung_ms: int = 0
    doubted_msc: int | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """Somebody is there; an agent's tells the terminal's time and condition, which the frames behind it have.

    ``busy_s`` asks for more time than usual until the next message.
    """

    now_msc: int | None = None
    condition: Condition = Condition()
    busy_s: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What the terminal says of symbols, by index: of all at first, then of those of which it says something else."""

    facts: tuple[tuple[int, SymbolFacts], ...]


@dataclass(frozen=True, slots=True)
class EpochRead:
    """The epoch is over and every symbol of it read, but for those of ``unread``: index and why.

    ``seen_msc`` is the time of the newest poll before its end that left nothing unsent; None where there was none.
    No frame follows before the next welcome.
    """

    now_msc: int
    seen_msc: int | None = None
    unread: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """The agent will send no more frames: the bridge settles the past and says when it has."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The bridge has compared the past, or cannot by now: a history that may still grow proves nothing."""

    is_compared: bool = True


@dataclass(frozen=True, slots=True)
class Validate:
    """Ticks to be judged and not captured; ``body`` is what the REST endpoint takes as JSON."""

    number: int
    body: dict[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True)
class Validated:
    """What the REST endpoint answers: its status, and its JSON."""

    number: int
    status: int
    body: dict[str, Any]  # Any: JSON


FromAgent: TypeAlias = Hello | Frame | Digests | Rows | Failed | Beat | Facts | EpochRead | Done | Validate
FromBridge: TypeAlias = Welcome | Answer | DigestRequest | ReadRequest | Beat | Settled | Validated
