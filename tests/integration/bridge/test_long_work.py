"""Work of the terminal that takes longer than a peer may be silent does not end the connection."""

import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from ingest import heartbeat
from ingest.agent import link as links
from ingest.agent.conversation import Conversation, Way
from ingest.agent.watch import Watch
from ingest.bridge import remote
from ingest.wire.messages import Welcome
from tests.builders import NOON_MSC, make_ticks
from tests.terminals import HandWrittenSource, HandWrittenTerminal
from tickhub.core.ticks import Ticks

DEAD_S, PERIODS, READ_S = 2, 50, 0.05


@dataclass
class SlowTerminal(HandWrittenTerminal):
    """Takes a while for each read of a past time."""

    def copy_ticks_range(self, symbol: str, date_from: int, date_to: int, flags: int, /) -> Ticks | None:
        time.sleep(READ_S)
        return super().copy_ticks_range(symbol, date_from, date_to, flags)


@dataclass
class StartingSource(HandWrittenSource):
    """A source whose terminal has to be started once."""

    is_started: bool = False

    def begin_poll(self) -> int:
        if not self.is_started:
            heartbeat.beat(extra_s=120.4)
            self.is_started = True
        return super().begin_poll()


@dataclass
class Questioner:
    """A bridge that asks one long question, and then listens until it is answered and a beat has followed."""

    heard: list[dict[str, Any]] = field(default_factory=list)  # Any: JSON
    is_done: threading.Event = field(default_factory=threading.Event)

    def __call__(self, socket: ServerConnection) -> None:
        periods = [[0, NOON_MSC + n * 1000, NOON_MSC + (n + 1) * 1000] for n in range(PERIODS)]
        socket.send(json.dumps({"type": "digest", "request": 1, "shift_ms": 0, "periods": periods}))
        try:
            for said in socket:
                if isinstance(said, bytes):
                    (number,) = struct.unpack_from("<Q", said, 8)
                    socket.send(json.dumps({"type": "ack", "number": number, "cursors": [[0, NOON_MSC, 1]]}))
                    continue
                self.heard.append(json.loads(said))
                kinds = [message["type"] for message in self.heard]
                if kinds[-1] == "done":
                    socket.send(json.dumps({"type": "settled"}))
                elif kinds[-1] == "beat" and "digests" in kinds:
                    self.is_done.set()
        except ConnectionClosed:
            return


@contextmanager
def listening(handler: Questioner) -> Iterator[str]:
    """Serve on a free port; yields the URL."""
    with serve(handler, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_agent_beats_between_the_reads_of_a_long_answer_and_asks_for_time_before_a_long_call(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token")
    questioner = Questioner()
    terminal = SlowTerminal(history={"EURUSD": make_ticks([(0, 1.1, 1.2)])})
    source = StartingSource(terminal, ("EURUSD",), now_msc=NOON_MSC + 60_000)
    terms = Welcome("desk", ((NOON_MSC, 0),), beat_s=1, dead_s=DEAD_S)
    stop_s = time.monotonic() + 20
    way = Way(0.05, 100, False, lambda: questioner.is_done.is_set() or time.monotonic() > stop_s)

    with (
        listening(questioner) as url,
        links.opened(links.address(url, tmp_path / "token", ca_file=None, allows_plain=False)) as link,
    ):
        conversation = Conversation(link, source, Watch(source), terms, way)
        conversation.run()

    messages = questioner.heard
    assert [message["busy_s"] for message in messages if message.get("busy_s")] == [121]
    kinds = [message["type"] for message in messages]
    assert len(messages[kinds.index("digests")]["digests"]) == PERIODS
    # One before the poll, and one in each second of the answer, which takes longer than a peer may be silent.
    assert kinds[: kinds.index("digests")].count("beat") >= 1 + DEAD_S
    assert questioner.is_done.is_set()


def test_question_about_a_long_past_is_asked_in_pieces_that_a_terminal_can_answer_in_time() -> None:
    hour_ms = 3_600_000
    hours = [("EURUSD", n * hour_ms, (n + 1) * hour_ms) for n in range(70)]
    tails = [("EURUSD", 0, 10_000)] * 513

    assert [len(some) for some in remote.bounded(hours)] == [32, 32, 6]
    assert [len(some) for some in remote.bounded(tails)] == [512, 1]
    assert list(remote.bounded([("EURUSD", 0, 100 * hour_ms)])) == [[("EURUSD", 0, 100 * hour_ms)]]
