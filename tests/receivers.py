"""Servers that take what is posted to them, or mails, and answer as a test says."""

from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, TCPServer, ThreadingTCPServer
from threading import Event, Thread


class Receiver:
    """What was posted, as headers and body; each request is answered by the next of ``answers``, then by 200."""

    def __init__(self, answers: list[int]) -> None:
        self.answers = answers
        self.posted: list[tuple[dict[str, str], bytes]] = []
        self.address = ""


@contextmanager
def receiver(*answers: int) -> Iterator[Receiver]:
    """Serve on a free port of this machine."""
    found = Receiver(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.posted.append((dict(self.headers), body))
            status = found.answers.pop(0) if found.answers else 200
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"{found.address}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815  # a redirect is followed with GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"http://127.0.0.1:{server.server_port}/incidents"
    with _serving(server):
        yield found


@contextmanager
def _serving(server: TCPServer) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def dripping(head: bytes) -> Iterator[int]:
    """Serve, on the port that is told, an answer that begins so, then single bytes as long as somebody reads."""
    is_over = Event()

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            try:
                self.wfile.write(head)
                while not is_over.wait(0.02):
                    self.wfile.write(b"x")
            except OSError:
                return

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server, _serving(server):
        yield server.server_address[1]
        is_over.set()


class Mailbox:
    """The mails that a server took, each with those it was for; ``refusal`` is its answer to a mail, if it is one."""

    def __init__(self, refusal: str) -> None:
        self.refusal = refusal
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.port = 0


@contextmanager
def mailbox(refusal: str = "") -> Iterator[Mailbox]:
    """Serve SMTP, as much of it as a mail takes, on a free port of this machine."""
    found = Mailbox(refusal)

    class Handler(StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self.say("220 ready")
            to: list[str] = []
            for raw in self.rfile:
                line = raw.decode().strip()
                if line.upper().startswith("RCPT TO:"):
                    to.append(line[8:].strip("<>"))
                if line.upper() == "DATA":
                    self.say("354 go on")
                    found.mails.append((to, self.data()))
                    self.say(found.refusal or "250 taken")
                elif line.upper() == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

        def data(self) -> EmailMessage:
            lines = iter(self.rfile.readline, b".\r\n")
            read = message_from_bytes(b"".join(lines), policy=policy.default)
            assert isinstance(read, EmailMessage)
            return read

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server, _serving(server):
        found.port = server.server_address[1]
        yield found
