"""What a poller polls, and how."""

from dataclasses import dataclass

from tickhub.core.ticks import BATCH_TICKS_MAX


@dataclass(frozen=True, slots=True)
class Options:
    """How to poll: page in ticks, times in milliseconds."""

    interval_ms: int = 50
    page_ticks: int = BATCH_TICKS_MAX
    publish_again_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class Target:
    """The source as the database knows it: its feeds' ids and begins (terminal clock) by symbol."""

    source_id: int
    name: str
    epoch_id: int
    offset_ms: int
    feeds: dict[str, tuple[int, int]]
