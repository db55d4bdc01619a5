"""docs/wire.md and the code say the same: limits, close codes, examples, and the digest's worked numbers."""

import json
import re
from pathlib import Path

import numpy as np

from ingest.bridge import registering
from ingest.target import Target
from ingest.wire import binary, closing, limits, lines
from ingest.wire.messages import Answer, DigestRequest, Digests, EpochRead, Frame, Hello, Welcome
from tests import wire_client
from tickhub.core import digest, zones
from tickhub.core.ticks import TICK_DTYPE

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "wire.md").read_text()
# The two ticks of the worked example.
FIRST = (1772452800, 1.0843, 1.08445, 0.0, 0, 1772452800017, 6, 0.0)
SECOND = (1772452800, 0.0, 0.0, 101.25, 3, 1772452800250, 24, 3.0)
BOTH = [2, "dc8b9a9a1765c1dd", "73500c8f53eb6897"]


def examples() -> list[str]:
    return [line.strip() for line in re.findall(r"^    (\{.*\})$", TEXT, re.MULTILINE)]


def test_the_limits_are_those_of_the_code() -> None:
    stated = dict(re.findall(r"^\| `?([\w` ,]+?)`? \| (\d+)", TEXT.split("## Limits")[1], re.MULTILINE))

    assert {name: int(value) for name, value in stated.items() if not name.isdigit()} == {
        "protocol": limits.PROTOCOL,
        "window": limits.WINDOW,
        "frame_ticks": limits.FRAME_TICKS,
        "message_bytes": limits.MESSAGE_BYTES,
        "symbols": limits.SYMBOLS,
        "texts": limits.TEXT_CHARS,
        "periods": limits.PERIODS,
        "one `read": limits.READ_TICKS,
        "handshake": limits.HANDSHAKE_S,
        "answers": limits.ANSWER_S,
        "beat_s`, `dead_s": limits.BEAT_S,
        "busy_s": limits.BUSY_S,
    }
    assert f"{limits.BEAT_S} s, {limits.DEAD_S} s" in TEXT
    assert f"of 1 to {limits.SYMBOL_CHARS} characters" in TEXT
    assert f"at most {limits.CLOCK_CHARS} characters) is the rule" in TEXT
    assert f"while `now_msc + {limits.MIXED_AHEAD_MS}` is before `mixed_until_msc`" in TEXT
    assert limits.BODY_BYTES == limits.MESSAGE_BYTES


def test_the_close_codes_are_those_of_the_code() -> None:
    stated = {int(code) for code in re.findall(r"^\| (\d{4}) \|", TEXT, re.MULTILINE)}

    assert stated == {
        value for name, value in vars(closing).items() if re.fullmatch("[A-Z][A-Z_]+", name) and isinstance(value, int)
    }


def test_the_examples_are_read_as_what_they_show() -> None:
    (switched_hello, first, read, second), (hello, frame, welcome, ack, question, answer) = (
        examples()[:4],
        examples()[4:],
    )

    said = (switched_hello, read, hello, frame, answer)
    assert [type(lines.from_agent(text)[0]) for text in said] == [Hello, EpochRead, Hello, Frame, Digests]
    heard = (first, second, welcome, ack, question)
    assert [type(lines.from_bridge(text)[0]) for text in heard] == [Welcome, Welcome, Welcome, Answer, DigestRequest]
    # Both epochs around the autumn switch of 2025, at 06:00 UTC, by a clock seven hours ahead of New York.
    rows = zones.epochs_from(zones.parse("NY+7"), to_msc=1_780_000_000_000)
    place = rows.place_at(1_762_063_200_000)
    told = [registering.wire_epoch(Target(1, "desk1", rows, p, {})) for p in (place - 1, place)]
    assert [lines.from_bridge(text)[0] for text in (first, second)] == [
        Welcome("desk1", ((1_762_073_970_000, 0),), epoch=told[0]),
        Welcome("desk1", ((1_762_070_400_000, 0),), epoch=told[1]),
    ]
    assert json.loads(lines.write(lines.from_bridge(welcome)[0])) == json.loads(welcome)
    assert json.loads(lines.write(lines.from_agent(hello)[0])) == json.loads(hello)


def test_the_binary_example_is_the_frame_of_the_other_example() -> None:
    octets = re.findall(r"^    ((?:[0-9a-f]{2} ?)+)$", TEXT, re.MULTILINE)
    raw = bytes.fromhex(" ".join(octets))

    (frame,) = lines.from_agent(examples()[5])
    found = binary.decode(raw)

    assert isinstance(frame, Frame)
    assert isinstance(found, Frame)
    assert len(raw) == 110
    assert binary.encode(frame) == raw
    assert found.parts[0].ticks.tolist() == [FIRST]


def test_the_digest_of_the_worked_example_is_that_of_the_document_the_client_and_the_code() -> None:
    rows = np.array([FIRST, SECOND], dtype=TICK_DTYPE)

    assert f"sum1 `{BOTH[1]}`, sum2 `{BOTH[2]}`" in TEXT
    assert wire_client.digest([FIRST, SECOND]) == BOTH
    assert digest.of(rows).as_list() == BOTH
    assert wire_client.digest([FIRST], shift_ms=7_200_000) == digest.of(rows[:1], offset_ms=7_200_000).as_list()
    for number in (*wire_client.SUM1, *wire_client.SUM2):
        assert f"{number:016x}" in TEXT
