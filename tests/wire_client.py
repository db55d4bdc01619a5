"""An agent written from docs/wire.md alone, over JSON lines or binary messages. Imports nothing of tickhub."""

import json
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from websockets.sync.client import ClientConnection, connect

# time, bid, ask, last, volume, time_msc, flags, volume_real
Tick = tuple[int, float, float, float, int, int, int, float]
Json = dict[str, Any]  # Any: JSON

RECORD = struct.Struct("<qdddQqId")
HEAD = struct.Struct("<BBHIQq")
PART = struct.Struct("<HBBIqIiH")
MASK = (1 << 64) - 1
SUM1 = (
    0x910A2DEC89025CC1,
    0xBEEB8DA1658EEC67,
    0xF893A2EEFB32555F,
    0x71C18690EE42C90B,
    0x71BB54D8D101B5B9,
    0xC34D0BFF90150281,
    0xE099EC6CD7363CA5,
)
SUM2 = (
    0x975835DE1C9756CF,
    0xBFC846100BFC1E43,
    0x987BBCBFDD7E532F,
    0xC3F2827AFFE7F665,
    0x4FC446B53F17FB29,
    0x58BC3CB37BC7B2B3,
    0xB9F24F7BAE4A6587,
)


def _bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def _mix(numbers: Sequence[int], multipliers: Sequence[int]) -> int:
    mix = 0
    for number, multiplier in zip(numbers, multipliers, strict=True):
        mix = (mix + (number ^ (number >> 32)) * multiplier) & MASK
    mix ^= mix >> 30
    mix = mix * 0xBF58476D1CE4E5B9 & MASK
    mix ^= mix >> 27
    mix = mix * 0x94D049BB133111EB & MASK
    return mix ^ (mix >> 31)


def digest(ticks: Sequence[Tick], shift_ms: int = 0) -> list[int | str]:
    """Count and both sums, as the document says."""
    sums = [0, 0]
    for _, bid, ask, last, volume, time_msc, flags, volume_real in ticks:
        numbers = [
            (time_msc - shift_ms) & MASK,
            _bits(bid),
            _bits(ask),
            _bits(last),
            volume,
            flags,
            _bits(volume_real),
        ]
        sums = [(s + _mix(numbers, m)) & MASK for s, m in zip(sums, (SUM1, SUM2), strict=True)]
    return [len(ticks), f"{sums[0]:016x}", f"{sums[1]:016x}"]


def next_cursor(cursor: list[int], ticks: Sequence[Tick], now_msc: int) -> list[int]:
    """Where the bridge will move a cursor once these ticks are taken."""
    times = [tick[5] for tick in ticks if tick[5] <= now_msc]
    if not times:
        return cursor
    newest = max(times)
    return [newest, times.count(newest) + (cursor[1] if newest == cursor[0] else 0)]


def binary_frame(number: int, now_msc: int, parts: Sequence[Json], *, compress: bool = False) -> bytes:
    """A frame in the binary form."""
    body = b""
    for part in parts:
        body += PART.pack(part["index"], 1 if part.get("more") else 0, 0, len(part["rows"]), *part["cursor"], 0, 0)
        body += b"".join(RECORD.pack(*tick) for tick in part["rows"])
    packed = zlib.compress(body) if compress else body
    return HEAD.pack(1, 1 if compress else 0, len(parts), len(body), number, now_msc) + packed


class Terminal:
    """What the client reads: the ticks of each symbol, by time, and the terminal's time."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = list(symbols)
        self.ticks: list[list[Tick]] = [[] for _ in symbols]
        self.now_msc = 0
        # Code and text with which every read of the past fails, None where they work.
        self.error: tuple[int, str] | None = None
        # What each beat tells of the terminal beside its time.
        self.condition: Json = {}

    def insert(self, index: int, ticks: Sequence[Tick]) -> None:
        """Show more ticks, late ones behind those of their millisecond."""
        self.ticks[index] = sorted([*self.ticks[index], *ticks], key=lambda tick: tick[5])

    def from_cursor(self, index: int, cursor: list[int]) -> list[Tick]:
        """The ticks from a cursor on."""
        last_msc, taken = cursor
        shown = [tick for tick in self.ticks[index] if tick[5] >= last_msc]
        own = sum(1 for tick in shown if tick[5] == last_msc)
        return shown[min(taken, own) :]

    def between(self, index: int, from_msc: int, to_msc: int) -> list[Tick]:
        """The ticks of a period."""
        return [tick for tick in self.ticks[index] if from_msc <= tick[5] < to_msc]


class WireClient:
    """One connection."""

    # The epoch of a clock that is switched, and how many welcomes were said.
    epoch: Json | None = None
    welcomes = 0
    # How many reads were answered in the epoch under way.
    reads = 0

    def __init__(self, url: str, token: str, terminal: Terminal, *, uses_binary: bool) -> None:
        self.terminal = terminal
        self.uses_binary = uses_binary
        headers = {"Authorization": f"Bearer {token}"}
        # A test hangs up in the midst of things: what the context would do at its end, it does itself.
        self.socket: ClientConnection = connect(url, additional_headers=headers, compression=None).__enter__()
        self.cursors: list[list[int]] = []
        self.frames_sent: list[str | bytes] = []
        self.answers: list[Json] = []
        self.is_settled = False
        self.validated: list[Json] = []
        self.is_recovering = False

    def say(self, **message: Any) -> None:  # Any: JSON
        """Send one JSON message."""
        self.socket.send(json.dumps(message))

    def hello(self, *, begins_msc: int, instance: str = "a", **other: Any) -> Json:  # Any: JSON
        """Say hello and take the cursors of the welcome."""
        self.say_hello(begins_msc=begins_msc, instance=instance, **other)
        return self.take_welcome()

    def say_hello(self, *, begins_msc: int, instance: str = "a", **other: Any) -> None:  # Any: JSON
        """Say hello."""
        symbols = [
            {"symbol": s, "digits": 5, "is_quoted": True, "begins_msc": begins_msc} for s in self.terminal.symbols
        ]
        message: Json = {
            "type": "hello",
            "protocol": 1,
            "instance": instance,
            "program": "from the document",
            "server": "Broker-Demo",
            "is_replay": False,
            "now_msc": self.terminal.now_msc,
            "offset_ms": None,
            "symbols": symbols,
        }
        self.say(**(message | other))

    def take_welcome(self) -> Json:
        """Wait for the welcome and take its cursors."""
        welcome: Json = {"type": "beat"}
        # A bridge that is slow to welcome beats meanwhile.
        while welcome["type"] == "beat":
            welcome = json.loads(self.socket.recv(timeout=20))
        self._take(welcome)
        return welcome

    def _take(self, welcome: Json) -> None:
        self.cursors = [list(cursor) for cursor in welcome["cursors"]]
        before, self.epoch = self.epoch, welcome.get("epoch")
        if before is not None and self.epoch is not None:
            # All that is said is in the epoch's offset.
            self.terminal.now_msc += self.epoch["offset_ms"] - before["offset_ms"]
        self.welcomes += 1
        self.reads = 0

    def _sendable(self, ticks: list[Tick]) -> list[Tick]:
        """The ticks that may be sent in the epoch under way."""
        if self.epoch is None:
            return ticks
        ahead_msc = self.terminal.now_msc + 2000
        mixed_until_msc, until_msc = self.epoch["mixed_until_msc"], self.epoch["until_msc"]
        if mixed_until_msc is not None and ahead_msc < mixed_until_msc:
            return [tick for tick in ticks if tick[5] <= ahead_msc]
        return ticks if until_msc is None else [tick for tick in ticks if tick[5] < until_msc]

    def beat(self) -> None:
        """Say that the client is there, and how its terminal is."""
        self.say(type="beat", now_msc=self.terminal.now_msc, **self.terminal.condition)

    def poll(self) -> bool:
        """Send what is new; return whether there was anything."""
        if self.is_recovering:
            return False
        parts: list[Json] = []
        for index in range(len(self.terminal.symbols)):
            ticks = self._sendable(self.terminal.from_cursor(index, self.cursors[index]))
            if ticks:
                parts.append({"index": index, "cursor": self.cursors[index], "rows": ticks})
                self.cursors[index] = next_cursor(self.cursors[index], ticks, self.terminal.now_msc)
        if parts:
            self.send_frame(len(self.frames_sent) + 1, parts)
        return bool(parts)

    def send_frame(self, number: int, parts: Sequence[Json]) -> None:
        """Send a frame in the client's form."""
        now_msc = self.terminal.now_msc
        raw: str | bytes = (
            binary_frame(number, now_msc, parts, compress=number % 2 == 0)
            if self.uses_binary
            else json.dumps({"type": "frame", "number": number, "now_msc": now_msc, "parts": parts})
        )
        self.frames_sent.append(raw)
        self.socket.send(raw)

    def serve(self, is_done: Callable[[], bool], *, within_s: float = 30.0) -> None:
        """Answer the bridge and collect its answers until a condition holds."""
        deadline_s = time.monotonic() + within_s
        beat_s = time.monotonic()
        while not is_done():
            if time.monotonic() > deadline_s:
                msg = "the condition did not come true in time"
                raise TimeoutError(msg)
            if time.monotonic() - beat_s > 1:
                beat_s = time.monotonic()
                self.beat()
            try:
                text = self.socket.recv(timeout=0.05)
            except TimeoutError:
                continue
            assert isinstance(text, str)
            for line in text.splitlines():
                self._hear(json.loads(line))

    def _hear(self, message: Json) -> None:
        match message["type"]:
            case "ack" | "refused":
                self.answers.append(message)
                self.is_recovering |= message["type"] == "refused"
                if self.is_recovering:
                    for index, *cursor in message["cursors"]:
                        self.cursors[index] = cursor
                self.is_recovering &= len(self.answers) < len(self.frames_sent)
            case "digest":
                found = [self._digest(period, message["shift_ms"]) for period in message["periods"]]
                self.say(type="digests", request=message["request"], digests=found)
            case "read":
                self._answer_read(message)
                self.reads += 1
            case "welcome":
                self._take(message)
            case "validated":
                self.validated.append(message)
            case "settled":
                self.is_settled = True

    def _digest(self, period: list[int], shift_ms: int) -> list[int | str] | Json:
        if self.terminal.error:
            return {"error": self.terminal.error}
        return digest(self.terminal.between(*period), shift_ms)

    def _answer_read(self, message: Json) -> None:
        if self.terminal.error:
            self.say(type="failed", request=message["request"], error=self.terminal.error)
            return
        ticks = self.terminal.between(message["index"], message["from_msc"], message["to_msc"])
        if not self.uses_binary:
            now = {} if self.epoch is None else {"now_msc": self.terminal.now_msc}
            self.say(type="rows", request=message["request"], rows=ticks, more=False, **now)
            return
        body = PART.pack(0, 0, 0, len(ticks), 0, 0, 0, 0) + b"".join(RECORD.pack(*tick) for tick in ticks)
        now_msc = 0 if self.epoch is None else self.terminal.now_msc
        self.socket.send(HEAD.pack(2, 0, 1, len(body), message["request"], now_msc) + body)

    def finish(self) -> None:
        """Send the rest, let the bridge compare the past, and hang up."""
        while True:
            self.serve(lambda: len(self.answers) >= len(self.frames_sent))
            if not self.poll():
                break
        self.say(type="done")
        self.serve(lambda: self.is_settled)
        self.socket.close()
