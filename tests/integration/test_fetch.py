"""`fetch` against a server on this machine: what is there comes in whole, what fails is tried again and told."""

import http.server
import json
import lzma
import os
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.fetching import mirror
from ingest.fetching.download import Policy
from ingest.fetching.mirror import Order, Outcome
from tests.builders import NOON_MSC
from tests.crash.system import MANAGE, environment
from tickhub.core.clock import DAY_MS, HOUR_MS

NOON_PATH, ONE_PATH = "/EURUSD/2026/02/02/12h_ticks.bi5", "/EURUSD/2026/02/02/13h_ticks.bi5"
HOUR = lzma.compress(struct.pack(">iiiff", 5, 110_002, 110_001, 1, 1) * 300, format=lzma.FORMAT_ALONE)
PERIOD = ("--from", "2026-03-02T12:00:00Z", "--to", "2026-03-02T15:00:00Z")


class Server(http.server.ThreadingHTTPServer):
    """Serves files; ``faults`` maps a path to what its next requests meet instead."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Callable[[Handler], None]]] = {}
        self.asked: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked[self.path] += 1
        faults = self.server.faults.get(self.path)
        if faults:
            faults.pop(0)(self)
        elif self.path in self.server.files:
            self.answer(200, self.server.files[self.path])
        else:
            self.answer(404, b"none")

    def answer(self, code: int, body: bytes, *, length: int | None = None, **headers: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def is_busy(handler: Handler) -> None:
    handler.answer(503, b"busy", Retry_After="0")


def is_cut(handler: Handler) -> None:
    handler.answer(200, HOUR[:20], length=len(HOUR))


def is_torn(handler: Handler) -> None:
    handler.answer(200, HOUR[:-5])


def is_closed(handler: Handler) -> None:
    handler.connection.close()


def is_cut_before_its_body(handler: Handler) -> None:
    """Tells no length: the body ends with the connection."""
    handler.send_response(200)
    handler.end_headers()


def is_empty_and_whole(handler: Handler) -> None:
    """An empty body in no chunk, with its end."""
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"0\r\n\r\n")


def is_forbidden(handler: Handler) -> None:
    handler.answer(403, b"no")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def fetch(server: Server, into: Path, *options: str, provider: str = "dukascopy") -> tuple[int, dict[str, Any], str]:
    """Run the command; return exit code, figures and stderr."""
    command = [sys.executable, MANAGE, "fetch", provider, "--base-url", server.url, "--into", str(into), "--json"]
    # Without a database, and without one being started.
    settings = environment(TICKHUB_DATA_DIR=str(into / "no"), no_proxy="127.0.0.1")
    done = subprocess.run(
        [*command, "--retry-wait", "0.01", *options],
        env=settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = done.stdout.strip().splitlines()[-1:]
    return done.returncode, json.loads(last[0]) if last and last[0].startswith("{") else {}, done.stderr


def counts(figures: dict[str, Any]) -> dict[str, int]:
    names = ("wanted", "fetched", "present", "missing", "not_over", "failed", "not_tried", "retries")
    return {name: figures[name] for name in names if figures[name]}


def test_hours_are_mirrored_and_a_second_run_fetches_only_what_is_not_there(server: Server, tmp_path: Path) -> None:
    server.files = {NOON_PATH: HOUR, "/EURUSD/2026/02/02/13h_ticks.bi5": b""}

    first = fetch(server, tmp_path, "--symbol", "EUR/USD", *PERIOD)
    server.files["/EURUSD/2026/02/02/14h_ticks.bi5"] = HOUR
    second = fetch(server, tmp_path, "--symbol", "EUR/USD", *PERIOD)

    assert (first[0], counts(first[1])) == (0, {"wanted": 3, "fetched": 2, "missing": 1})
    assert (second[0], counts(second[1])) == (0, {"wanted": 3, "fetched": 1, "present": 2})
    assert (tmp_path / NOON_PATH[1:]).read_bytes() == HOUR
    assert (tmp_path / "EURUSD/2026/02/02/13h_ticks.bi5").read_bytes() == b""
    assert (server.asked[NOON_PATH], first[1]["size_bytes"]) == (1, len(HOUR))
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("fault", [is_busy, is_cut, is_torn, is_closed])
def test_what_may_pass_is_tried_again(server: Server, tmp_path: Path, fault: Callable[[Handler], None]) -> None:
    server.files = {NOON_PATH: HOUR}
    server.faults = {NOON_PATH: [fault, fault]}

    code, figures, _ = fetch(server, tmp_path, "--symbol", "EURUSD", *PERIOD)

    assert (code, counts(figures)) == (0, {"wanted": 3, "fetched": 1, "missing": 2, "retries": 2})
    assert (tmp_path / NOON_PATH[1:]).read_bytes() == HOUR


def mirrored(server: Server, into: Path, *, retries: int = 0) -> Outcome:
    """Fetch two hours in this process."""
    policy = Policy(timeout_s=10, retries=retries, wait_s=0.01)
    order = Order("dukascopy", server.url, ["EURUSD"], NOON_MSC, NOON_MSC + 2 * HOUR_MS, into, policy)
    return mirror.run(order, progress=lambda _: None, now_msc=NOON_MSC + DAY_MS)


def test_an_empty_hour_is_one_where_the_server_says_that_it_is_whole(server: Server, tmp_path: Path) -> None:
    server.faults = {NOON_PATH: [is_empty_and_whole], ONE_PATH: [is_cut_before_its_body]}

    outcome = mirrored(server, tmp_path)

    assert (outcome.fetched, outcome.failed) == (1, 1)
    assert outcome.failures == [f"{server.url}{ONE_PATH}: is empty and does not say that it is whole; tried 1 times"]
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*.bi5")} == {"12h_ticks.bi5": b""}


def test_an_answer_cut_off_before_its_body_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.files = {NOON_PATH: HOUR, ONE_PATH: b""}
    server.faults = {NOON_PATH: [is_cut_before_its_body]}

    outcome = mirrored(server, tmp_path, retries=1)

    assert (outcome.fetched, outcome.retries, (tmp_path / NOON_PATH[1:]).read_bytes()) == (2, 1, HOUR)


def test_what_another_run_is_still_writing_is_left_alone(server: Server, tmp_path: Path) -> None:
    server.files = {NOON_PATH: HOUR}
    others = tmp_path / (NOON_PATH[1:] + ".part")
    others.parent.mkdir(parents=True)
    others.write_bytes(HOUR[:20])

    outcome = mirrored(server, tmp_path)

    assert (outcome.fetched, others.read_bytes()) == (1, HOUR[:20])
    assert sorted(os.listdir(others.parent)) == ["12h_ticks.bi5", "12h_ticks.bi5.part"]


def test_a_server_that_does_not_answer_in_time_is_tried_again(server: Server, tmp_path: Path) -> None:
    is_over = threading.Event()

    def is_silent(_: Handler) -> None:
        is_over.wait(30)

    server.files = {NOON_PATH: HOUR}
    server.faults = {NOON_PATH: [is_silent]}

    code, figures, _ = fetch(server, tmp_path, "--symbol", "EURUSD", "--timeout", "0.3", *PERIOD)
    is_over.set()

    assert (code, figures["fetched"], figures["retries"]) == (0, 1, 1)


def test_what_goes_on_failing_is_named_and_nothing_of_it_is_left(server: Server, tmp_path: Path) -> None:
    server.files = {"/EURUSD/2026/02/02/13h_ticks.bi5": HOUR}
    server.faults = {NOON_PATH: [is_torn] * 3, "/EURUSD/2026/02/02/14h_ticks.bi5": [is_forbidden]}

    code, figures, told = fetch(server, tmp_path, "--symbol", "EURUSD", "--retries", "2", *PERIOD)

    assert (code, counts(figures)) == (1, {"wanted": 3, "fetched": 1, "failed": 2, "retries": 2})
    assert f"failed: {server.url}{NOON_PATH}: is truncated; tried 3 times" in told
    assert "14h_ticks.bi5: HTTP 403" in told
    assert sorted(os.listdir(tmp_path / "EURUSD/2026/02/02")) == ["13h_ticks.bi5"]


def test_a_server_that_is_gone_is_not_asked_for_everything(server: Server, tmp_path: Path) -> None:
    server.shutdown()
    server.server_close()

    code, figures, told = fetch(
        server, tmp_path, "--symbol", "EURUSD", "--retries", "1", "--from", "2026-03-01", "--to", "2026-03-02"
    )

    assert (code, counts(figures)) == (1, {"wanted": 24, "failed": 3, "not_tried": 21, "retries": 3})
    assert "given up: 21 files were not tried" in told


def test_an_hour_that_is_not_over_is_left_for_later(server: Server, tmp_path: Path) -> None:
    code, figures, _ = fetch(server, tmp_path, "--symbol", "EURUSD", "--from", "2200-01-01", "--to", "2200-01-02")

    assert (code, counts(figures)) == (0, {"wanted": 24, "not_over": 24})


def test_months_of_truefx_have_their_own_layout(server: Server, tmp_path: Path) -> None:
    code, figures, _ = fetch(
        server, tmp_path, "--symbol", "EURUSD", "--from", "2016-04-30", "--to", "2016-06-01", provider="truefx"
    )

    assert (code, counts(figures)) == (0, {"wanted": 2, "missing": 2})
    assert sorted(server.asked) == ["/2016/APR-2016/EURUSD-2016-04.zip", "/2016/MAY-2016/EURUSD-2016-05.zip"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--symbol", "../x", *PERIOD), "--symbol ../x: expected letters and digits, such as EURUSD or EUR/USD"),
        (("--symbol", "EURUSD", "--from", "2026-03-02"), "--from and --to: both are needed"),
        (
            ("--symbol", "EURUSD", "--base-url", "file:///etc", *PERIOD),
            "--base-url file:///etc: expected http://HOST/PATH or https://HOST/PATH",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line(
    server: Server, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    code, _, told = fetch(server, tmp_path, *options)

    assert (code, told.strip()) == (2, f"error: {message}")
