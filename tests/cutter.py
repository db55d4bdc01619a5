"""A TCP proxy that cuts every connection again and again, and counts how often it cut one."""

import random
import threading
from types import TracebackType

from tests.proxy import FaultProxy


class Cutter:
    """Listens from ``with`` to its end before a port of the loopback interface; :meth:`spare` ends the cutting."""

    def __init__(self, port: int, *, every_s: tuple[float, float], seed: int) -> None:
        self._proxy = FaultProxy(("127.0.0.1", port))
        self._every_s = every_s
        self._rng = random.Random(seed)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.cuts = 0

    @property
    def port(self) -> int:
        """Return the port to connect to."""
        return self._proxy.port

    def __enter__(self) -> "Cutter":
        self._proxy.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.spare()
        self._proxy.__exit__(kind, error, trace)

    def spare(self) -> None:
        """Cut no more."""
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(self._rng.uniform(*self._every_s)):
            if self._proxy.has_connections:
                self._proxy.cut()
                self.cuts += 1
