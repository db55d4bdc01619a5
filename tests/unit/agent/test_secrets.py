"""What an agent says and logs, at any level, shows no token and no password."""

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from ingest.agent import link
from tickhub.core.errors import UsageError


def listen(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        connection.recv()


@pytest.fixture
def port() -> Iterator[int]:
    with serve(listen, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield int(server.socket.getsockname()[1])
        server.shutdown()
        thread.join()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("tickhub_SECRET")
    return path


def test_the_token_is_in_no_log_of_the_most_talkative_level(
    port: int, token_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where = link.address(f"ws://127.0.0.1:{port}", token_file, ca_file=None, allows_plain=False)

    with caplog.at_level(logging.DEBUG):
        with link.opened(where):
            pass
        logging.getLogger("ingest").debug("debugging")

    assert "debugging" in caplog.text
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize("url", ["ws://user:SECRET@127.0.0.1:8001", "wss://host/?token=SECRET", "http://SECRET@host"])
def test_a_refused_address_is_shown_without_what_may_be_a_secret(url: str, token_file: Path) -> None:
    with pytest.raises(UsageError, match=r"^--bridge .*(127\.0\.0\.1:8001|host/?): expected wss://HOST") as refused:
        link.address(url, token_file, ca_file=None, allows_plain=True)

    assert "SECRET" not in str(refused.value)
