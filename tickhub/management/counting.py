"""A line that counts: rewritten in place on a terminal, every few seconds elsewhere."""

from types import TracebackType
from typing import Self, TextIO

from tickhub.core import clock

_TERMINAL_S, _PLAIN_S = 0.1, 5.0


class Counting:
    """Shows one line again and again; a context manager, since a terminal wants its line ended."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._every_s = _TERMINAL_S if self._is_terminal else _PLAIN_S
        self._shown_s = clock.monotonic_s() - (self._every_s if self._is_terminal else 0)
        self._has_line = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._has_line:
            self._stream.write("\n")

    def show(self, total: int, line: str) -> None:
        """Show how far it is, unless it was shown a moment ago."""
        now_s = clock.monotonic_s()
        if now_s - self._shown_s < self._every_s:
            return
        self._shown_s = now_s
        text = f"of {total}: {line}"
        self._stream.write(f"\r{text}\x1b[K" if self._is_terminal else f"{text}\n")
        self._stream.flush()
        self._has_line = self._is_terminal
