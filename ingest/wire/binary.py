"""The binary messages: frames, and the rows that answer a read. Little-endian, packed; docs/wire.md has the layout."""

import struct
import zlib

from ingest.wire import closing, fields, limits
from ingest.wire.closing import Malformed
from ingest.wire.messages import Frame, FramePart, Rows, TerminalError
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import TICK_SIZE_BYTES

FRAME, ROWS = 1, 2
COMPRESSED = 1
CUT, FAILED = 1, 2
# kind, flags, parts, length of the body, number, now_msc
_HEAD = struct.Struct("<BBHIQq")
# index, flags, zero, ticks, last_msc, taken, error code, length of the error's text
_PART = struct.Struct("<HBBIqIiH")
# Below this, compressing costs more than it saves.
_COMPRESS_FROM_BYTES = 1024


def encode(message: Frame | Rows, *, compress: bool = True) -> bytes:
    """Write a message, compressed where that makes it smaller."""
    if isinstance(message, Frame):
        kind, number, now_msc, parts = FRAME, message.number, message.now_msc, message.parts
    else:
        kind, number, now_msc = ROWS, message.request, message.now_msc
        parts = (FramePart(0, (0, 0), message.ticks, is_cut=message.has_more),)
    body = b"".join(_encode_part(part) for part in parts)
    packed = zlib.compress(body, 1) if compress and len(body) >= _COMPRESS_FROM_BYTES else body
    flags = COMPRESSED if len(packed) < len(body) else 0
    return _HEAD.pack(kind, flags, len(parts), len(body), number, now_msc) + (packed if flags else body)


def _encode_part(part: FramePart) -> bytes:
    flags = (CUT if part.is_cut else 0) | (FAILED if part.error else 0)
    code, text = part.error or (0, "")
    words = text[: limits.TEXT_CHARS].encode(errors="replace")
    head = _PART.pack(part.index, flags, 0, len(part.ticks), *part.cursor, code, len(words))
    return head + words + part.ticks.tobytes()


def decode(raw: bytes) -> Frame | Rows:
    """Read a message.

    :raises Malformed: if it is not as described, or larger than allowed
    """
    if len(raw) < _HEAD.size:
        raise Malformed(f"binary message of {len(raw)} bytes: the head has {_HEAD.size}")
    kind, flags, count, size, number, now_msc = _HEAD.unpack_from(raw)
    if kind not in (FRAME, ROWS) or flags & ~COMPRESSED:
        raise Malformed(f"binary message of kind {kind} with flags {flags}")
    if count > limits.SYMBOLS:
        raise Malformed(f"message {number}: {count} parts, at most {limits.SYMBOLS} are allowed")
    if not fields.TIME[0] <= now_msc <= fields.TIME[1]:
        raise Malformed(f"message {number}: no calendar holds its time {now_msc}")
    body = _body(raw[_HEAD.size :], size, is_compressed=bool(flags & COMPRESSED))
    parts = _decode_parts(body, count, number)
    if kind == FRAME:
        return Frame(number, now_msc, parts)
    if len(parts) != 1:
        raise Malformed(f"rows of request {number}: {len(parts)} parts, expected 1")
    return Rows(number, parts[0].ticks, parts[0].is_cut, now_msc)


def _body(packed: bytes, size: int, *, is_compressed: bool) -> bytes:
    """Return the body; never more of it than declared is made, and never more than allowed."""
    if size > limits.BODY_BYTES:
        raise Malformed(f"body of {size} bytes, at most {limits.BODY_BYTES} are allowed", code=closing.TOO_BIG)
    if is_compressed:
        reader = zlib.decompressobj()
        try:
            body = reader.decompress(packed, size + 1)
        except zlib.error:
            raise Malformed("compressed body is no zlib stream") from None
        if len(body) > size:
            raise Malformed(f"compressed body holds more than the {size} bytes declared", code=closing.TOO_BIG)
        if not reader.eof or reader.unused_data:
            raise Malformed("compressed body does not end where the message ends")
    else:
        body = packed
    if len(body) != size:
        raise Malformed(f"body of {len(body)} bytes, {size} are declared")
    return body


def _decode_parts(body: bytes, count: int, number: int) -> tuple[FramePart, ...]:
    parts, place, total = [], 0, 0
    for order in range(count):
        if len(body) - place < _PART.size:
            raise Malformed(f"message {number}: part {order} is cut off")
        index, flags, _, ticks, last_msc, taken, code, words = _PART.unpack_from(body, place)
        total += ticks
        end = place + _PART.size + words + ticks * TICK_SIZE_BYTES
        if end > len(body) or total > limits.FRAME_TICKS or flags & ~(CUT | FAILED):
            raise Malformed(
                f"message {number}: part {order} declares {ticks} ticks, {words} bytes of text, flags {flags}"
            )
        text = body[place + _PART.size : place + _PART.size + words].decode(errors="replace")
        error: TerminalError | None = (code, fields.words(text)) if flags & FAILED else None
        rows = tick_arrays.from_bytes(body[end - ticks * TICK_SIZE_BYTES : end])
        parts.append(FramePart(index, (last_msc, taken), rows, bool(flags & CUT), error))
        place = end
    if place != len(body):
        raise Malformed(f"message {number}: {len(body) - place} bytes behind the last part")
    return tuple(parts)
