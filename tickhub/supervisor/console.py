"""What `up` shows: a live table on a terminal, plain lines elsewhere."""

from collections import deque
from types import TracebackType
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tickhub.core import clock
from tickhub.supervisor.figures import Figures

_PLAIN_S = 5.0
_LINES = 8


class Progress:
    """Shows figures and events; a context manager, since a live display must give the terminal back."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._events: deque[str] = deque(maxlen=_LINES)
        self._console = Console(file=stream, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if stream.isatty() else None
        self._shown_s = -_PLAIN_S
        self._figures: Figures | None = None
        self._banner: str | None = None

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def tell(self, line: str) -> None:
        """Show one event."""
        if self._live:
            self._events.append(line)
            self._refresh()
        else:
            self._write(line)

    def banner(self, line: str | None) -> None:
        """Show a state over the figures until it is over; on other streams tell when it begins and ends."""
        if not self._live and (line is None) != (self._banner is None):
            self._write(line or "capture goes on: the disk has room again")
        self._banner = line

    def show(self, figures: Figures) -> None:
        """Show the figures: at once on a terminal, every five seconds elsewhere."""
        self._figures = figures
        if self._live:
            self._refresh()
        elif clock.monotonic_s() - self._shown_s >= _PLAIN_S:
            self._shown_s = clock.monotonic_s()
            for source in figures.sources:
                latency = "–" if source.p50_ms is None else f"{source.p50_ms:.1f}/{source.p99_ms:.1f} ms"
                self._write(
                    f"{source.name}: {source.ticks_per_s:,.0f} ticks/s, captured {source.captured:,}, latency p50/p99"
                    f" {latency}, backlog {source.waiting}, flagged {source.flagged:,},"
                    f" quarantined {source.quarantined:,}"
                )

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    def _refresh(self) -> None:
        if self._live:
            self._live.update(Group(self._table(), *(Text(line) for line in self._events)), refresh=True)

    def _table(self) -> Table:
        table = Table(title=f"tickhub   {escape(self._banner or '')}".rstrip(), title_justify="left")
        for name in (
            "source",
            "ticks/s",
            "captured",
            "p50 ms",
            "p99 ms",
            "backlog",
            "flagged",
            "quarantined",
            "failed",
        ):
            table.add_column(name, justify="left" if name == "source" else "right")
        figures = self._figures
        for source in figures.sources if figures else ():
            table.add_row(
                source.name,
                f"{source.ticks_per_s:,.0f}",
                f"{source.captured:,}",
                "–" if source.p50_ms is None else f"{source.p50_ms:.1f}",
                "–" if source.p99_ms is None else f"{source.p99_ms:.1f}",
                f"{source.waiting:,}",
                f"{source.flagged:,}",
                f"{source.quarantined:,}",
                f"{source.failed:,}",
            )
        return table
