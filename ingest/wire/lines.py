"""The JSON messages: one object a line, one or more lines in a text message."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ingest.wire import limits, ticklines
from ingest.wire.closing import Malformed
from ingest.wire.fields import INT31, INT32, INT64, TIME, UINT32, UINT64, Fields, integer, integers, words
from ingest.wire.messages import (
    Answer,
    Beat,
    Condition,
    Cursor,
    DigestRequest,
    Digests,
    Done,
    EpochRead,
    Facts,
    Failed,
    Frame,
    FramePart,
    FromAgent,
    FromBridge,
    Hello,
    ReadRequest,
    Rows,
    Settled,
    Symbol,
    TerminalError,
    Validate,
    Validated,
    Welcome,
    WireEpoch,
)
from tickhub.core.digest import Digest
from tickhub.core.symbols import SymbolFacts

_INDEX = (0, limits.SYMBOLS - 1)
_SUM = re.compile("[0-9a-fA-F]{16}")


def from_agent(text: str) -> list[FromAgent]:
    """Read what an agent says.

    :raises Malformed: if it is not as described
    """
    return [_read(fields, _FROM_AGENT) for fields in _objects(text)]


def from_bridge(text: str) -> list[FromBridge]:
    """Read what the bridge says; messages of a kind not known here are left out, for a later bridge may say more.

    :raises Malformed: if one is not as described
    """
    return [_read(fields, _FROM_BRIDGE) for fields in _objects(text) if fields.get("type") in _FROM_BRIDGE]


def _objects(text: str) -> list[Fields]:
    found = []
    # Not splitlines: JSON texts may hold other characters that end a line, U+2028 for instance.
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            found.append(Fields(json.loads(line), "message"))
        except (ValueError, RecursionError):
            raise Malformed("text message: a line is no JSON") from None
    return found


def _read(fields: Fields, readers: dict[str, Callable[[Fields], Any]]) -> Any:  # Any: one of the messages
    kind = fields.get("type")
    reader = readers.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise Malformed(f"type: expected one of {', '.join(readers)}")
    return reader(fields)


def _hello(fields: Fields) -> Hello:
    protocol = fields.integer("protocol", UINT32)
    if protocol != limits.PROTOCOL:
        # The rest may be of another form: the version is judged by itself.
        return Hello(protocol, "", "", "", False, None, 0, ())
    return Hello(
        protocol=protocol,
        instance=fields.text("instance", least=1),
        program=fields.text("program"),
        server_name=fields.text("server"),
        is_replay=fields.boolean("is_replay"),
        offset_ms=fields.optional("offset_ms", INT32),
        now_msc=fields.integer("now_msc", TIME),
        symbols=fields.items("symbols", _symbol, most=limits.SYMBOLS),
        priority=fields.optional("priority", (0, limits.PRIORITY_MOST)),
        clock=fields.optional_text("clock", most=limits.CLOCK_CHARS),
    )


def _symbol(value: object, where: str) -> Symbol:
    fields = Fields(value, where)
    return Symbol(
        symbol=fields.text("symbol", most=limits.SYMBOL_CHARS, least=1),
        digits=fields.integer("digits", (0, 8)),
        is_quoted=fields.boolean("is_quoted"),
        begins_msc=fields.integer("begins_msc", TIME),
        instrument=fields.optional_text("instrument", most=limits.SYMBOL_CHARS),
        mapped_by=fields.optional_text("mapped_by", most=limits.RULE_CHARS),
    )


def _frame(fields: Fields) -> Frame:
    parts = fields.items("parts", _part, most=limits.SYMBOLS)
    if sum(len(part.ticks) for part in parts) > limits.FRAME_TICKS:
        raise Malformed(f"frame: more than {limits.FRAME_TICKS} ticks")
    return Frame(fields.integer("number", UINT64), fields.integer("now_msc", TIME), parts)


def _part(value: object, where: str) -> FramePart:
    fields = Fields(value, where)
    last_msc, taken = integers(fields.get("cursor"), (INT64, UINT32), f"{where}: cursor")
    error = fields.get("error")
    return FramePart(
        index=fields.integer("index", _INDEX),
        cursor=(last_msc, taken),
        ticks=ticklines.read(fields.get("rows") or [], f"{where}: rows", most=limits.FRAME_TICKS),
        is_cut=fields.boolean("more", default=False),
        error=None if error is None else _error(error, where),
    )


def _error(value: object, where: str) -> TerminalError:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], str):
        raise Malformed(f"{where}: error: expected [code, text]")
    (code,) = integers(value[:1], (INT32,), f"{where}: error")
    return code, words(value[1])


def _digests(fields: Fields) -> Digests:
    return Digests(fields.integer("request", UINT64), fields.items("digests", _digest, most=limits.PERIODS))


def _digest(value: object, where: str) -> Digest | TerminalError:
    if isinstance(value, dict):
        return _error(value.get("error"), where)
    if not isinstance(value, list) or len(value) != 3:
        raise Malformed(f"{where}: expected [count, sum1, sum2]")
    return Digest(
        count=integer(value[0], UINT64, f"{where}: count"), sum1=_sum(value[1], where), sum2=_sum(value[2], where)
    )


def _sum(value: object, where: str) -> int:
    if not isinstance(value, str) or _SUM.fullmatch(value) is None:
        raise Malformed(f"{where}: expected each sum as a text of 16 hexadecimal digits")
    return int(value, 16)


def _rows(fields: Fields) -> Rows:
    ticks = ticklines.read(fields.get("rows"), "rows", most=limits.FRAME_TICKS)
    has_more = fields.boolean("more", default=False)
    return Rows(fields.integer("request", UINT64), ticks, has_more, fields.optional("now_msc", TIME) or 0)


def _failed(fields: Fields) -> Failed:
    return Failed(fields.integer("request", UINT64), _error(fields.get("error"), "failed"))


def _beat(fields: Fields) -> Beat:
    condition = Condition(
        link=fields.choice("link", limits.LINKS),
        circuit=fields.choice("circuit", limits.CIRCUITS),
        failures=fields.optional("failures", INT31) or 0,
        hung_ms=fields.optional("hung_ms", (0, INT64[1])) or 0,
        doubted_msc=fields.optional("doubted_msc", TIME),
    )
    return Beat(fields.optional("now_msc", TIME), condition, fields.optional("busy_s", (0, limits.BUSY_S)) or 0)


def _facts(fields: Fields) -> Facts:
    return Facts(fields.items("symbols", _facts_of_symbol, most=limits.SYMBOLS))


def _facts_of_symbol(value: object, where: str) -> tuple[int, SymbolFacts]:
    fields = Fields(value, where)
    return fields.integer("index", _INDEX), SymbolFacts(
        digits=fields.integer("digits", INT32),
        point=fields.number("point"),
        chart_mode=fields.integer("chart_mode", INT32),
        trade_mode=fields.integer("trade_mode", INT32),
        trade_tick_size=fields.number("trade_tick_size"),
        trade_contract_size=fields.number("trade_contract_size"),
        currency_base=fields.text("currency_base"),
        currency_profit=fields.text("currency_profit"),
        path=fields.text("path"),
    )


def _epoch_read(fields: Fields) -> EpochRead:
    def unread(value: object, where: str) -> tuple[int, str]:
        index, *rest = value if isinstance(value, list) and len(value) == 2 else (None, None)
        if not isinstance(rest[0], str):
            raise Malformed(f"{where}: expected [index, why]")
        return integer(index, _INDEX, where), words(rest[0])

    return EpochRead(
        fields.integer("now_msc", TIME),
        fields.optional("seen_msc", TIME),
        fields.items("unread", unread, most=limits.SYMBOLS) if fields.get("unread") is not None else (),
    )


def _epoch(value: object) -> WireEpoch:
    fields = Fields(value, "welcome: epoch")
    return WireEpoch(
        offset_ms=fields.integer("offset_ms", INT32),
        ends_msc=fields.optional("ends_msc", TIME),
        until_msc=fields.optional("until_msc", TIME),
        mixed_until_msc=fields.optional("mixed_until_msc", TIME),
    )


def _welcome(fields: Fields) -> Welcome:
    return Welcome(
        protocol=fields.integer("protocol", UINT32),
        source=fields.text("source", most=500),
        cursors=fields.items("cursors", _cursor, most=limits.SYMBOLS),
        window=fields.integer("window", (1, 1024)),
        frame_ticks=fields.integer("frame_ticks", (1, limits.FRAME_TICKS)),
        message_bytes=fields.integer("message_bytes", UINT32),
        beat_s=fields.integer("beat_s", (1, 3600)),
        dead_s=fields.integer("dead_s", (1, 3600)),
        epoch=None if fields.get("epoch") is None else _epoch(fields.get("epoch")),
    )


def _cursor(value: object, where: str) -> Cursor:
    last_msc, taken = integers(value, (INT64, UINT32), where)
    return last_msc, taken


def _answer(fields: Fields) -> Answer:
    def cursor(value: object, where: str) -> tuple[int, int, int]:
        index, last_msc, taken = integers(value, (_INDEX, INT64, UINT32), where)
        return index, last_msc, taken

    return Answer(
        fields.integer("number", UINT64),
        fields.get("type") == "refused",
        fields.items("cursors", cursor, most=limits.SYMBOLS),
    )


def _digest_request(fields: Fields) -> DigestRequest:
    def period(value: object, where: str) -> tuple[int, int, int]:
        index, from_msc, to_msc = integers(value, (_INDEX, INT64, INT64), where)
        return index, from_msc, to_msc

    return DigestRequest(
        fields.integer("request", UINT64),
        fields.integer("shift_ms", INT32),
        fields.items("periods", period, most=limits.PERIODS),
    )


def _read_request(fields: Fields) -> ReadRequest:
    return ReadRequest(
        fields.integer("request", UINT64),
        fields.integer("index", _INDEX),
        fields.integer("from_msc"),
        fields.integer("to_msc"),
    )


def _validate(fields: Fields) -> Validate:
    return Validate(fields.integer("number", UINT64), fields.json_object("body"))


def _validated(fields: Fields) -> Validated:
    return Validated(fields.integer("number", UINT64), fields.integer("status", (100, 599)), fields.json_object("body"))


_FROM_AGENT: dict[str, Callable[[Fields], FromAgent]] = {
    "hello": _hello,
    "frame": _frame,
    "digests": _digests,
    "rows": _rows,
    "failed": _failed,
    "beat": _beat,
    "facts": _facts,
    "epoch_read": _epoch_read,
    "done": lambda _: Done(),
    "validate": _validate,
}
_FROM_BRIDGE: dict[str, Callable[[Fields], FromBridge]] = {
    "welcome": _welcome,
    "ack": _answer,
    "refused": _answer,
    "digest": _digest_request,
    "read": _read_request,
    "beat": _beat,
    "validated": _validated,
    "settled": lambda fields: Settled(fields.boolean("is_compared", default=True)),
}


def write(message: FromAgent | FromBridge) -> str:
    """Write a message as one line."""
    return json.dumps(_as_json(message), separators=(",", ":"))


def _as_json(message: FromAgent | FromBridge) -> dict[str, Any]:  # Any: JSON
    match message:
        case Hello():
            return {"type": "hello"} | _hello_as_json(message)
        case Answer():
            kind = "refused" if message.is_refused else "ack"
            return {"type": kind, "number": message.number, "cursors": message.cursors}
        case Digests():
            digests = [d.as_list() if isinstance(d, Digest) else {"error": d} for d in message.digests]
            return {"type": "digests", "request": message.request, "digests": digests}
        case Rows():
            rows = ticklines.write(message.ticks)
            fields = {"request": message.request, "rows": rows, "more": message.has_more}
            return {"type": "rows", **fields} | ({"now_msc": message.now_msc} if message.now_msc else {})
        case Frame():
            parts = [_part_as_json(part) for part in message.parts]
            return {"type": "frame", "number": message.number, "now_msc": message.now_msc, "parts": parts}
        case Facts():
            return {"type": "facts", "symbols": [_facts_as_json(*said) for said in message.facts]}
        case Beat() if message == Beat():
            return {"type": "beat"}
        case Beat():
            fields = {"now_msc": message.now_msc, **asdict(message.condition), "busy_s": message.busy_s}
            return {"type": "beat", **fields}
        case _:
            fields = asdict(message)
            if fields.get("epoch", 0) is None:
                # Said only to agents that keep to epochs.
                del fields["epoch"]
            return {"type": _PLAIN[type(message)], **fields}


def _hello_as_json(message: Hello) -> dict[str, Any]:  # Any: JSON
    fields = asdict(message)
    fields["server"] = fields.pop("server_name")
    fields["symbols"] = [{n: v for n, v in said.items() if v is not None} for said in fields["symbols"]]
    optional = ("priority", "clock")
    return {name: value for name, value in fields.items() if value is not None or name not in optional}


def _facts_as_json(index: int, said: SymbolFacts) -> dict[str, Any]:  # Any: JSON
    # A terminal's texts may hold what the protocol does not take.
    return {"index": index} | {n: words(v) if isinstance(v, str) else v for n, v in asdict(said).items()}


def _part_as_json(part: FramePart) -> dict[str, Any]:  # Any: JSON
    return {
        "index": part.index,
        "cursor": part.cursor,
        "rows": ticklines.write(part.ticks),
        "more": part.is_cut,
        "error": part.error,
    }


_PLAIN: dict[type, str] = {
    Welcome: "welcome",
    DigestRequest: "digest",
    ReadRequest: "read",
    Failed: "failed",
    EpochRead: "epoch_read",
    Done: "done",
    Settled: "settled",
    Validate: "validate",
    Validated: "validated",
}
