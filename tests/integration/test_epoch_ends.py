"""An epoch of the clock is read to its end before the next begins, whatever fails at the switch."""

import pytest
from pytest_django import Settings

from ingest import queries
from tests.integration.test_clocks import HOUR_MS, SPRING_MSC
from tests.scripted import Step, make_run, play, quotes
from tickhub.core.ticks import Int64s
from tickhub.epochs import Run

pytestmark = pytest.mark.usefixtures("database")

SECOND_MS, MINUTE_MS = 1_000, 60_000
# The broker's clock: two hours ahead of UTC before the switch, three after it.
OLD_MS, NEW_MS = 2 * HOUR_MS, 3 * HOUR_MS


@pytest.fixture(autouse=True)
def _fast(settings: Settings) -> None:
    settings.POLL_INTERVAL_MS = 1


def old(*after_ms: int) -> list[int]:
    """Times of the old epoch on the broker's clock, in milliseconds after the switch."""
    return [SPRING_MSC + OLD_MS + ms for ms in after_ms]


def new(*after_ms: int) -> list[int]:
    """Times of the new epoch on the broker's clock, in milliseconds after the switch."""
    return [SPRING_MSC + NEW_MS + ms for ms in after_ms]


def captured(run: Run, symbol: str = "X") -> list[int]:
    """UTC times of what was captured of a feed, in milliseconds after the switch."""
    found = queries.captured_between(
        source_id=run.registered.source_id, from_msc=0, to_msc=1 << 62, feed_id=run.registered.feeds[symbol][0]
    )
    if not found:
        return []
    (feed,) = found.values()
    before = feed.ticks["time_msc"] < SPRING_MSC + NEW_MS
    utc: Int64s = feed.ticks["time_msc"] - before * OLD_MS - ~before * NEW_MS
    return sorted((utc - SPRING_MSC).tolist())


def test_a_tick_of_the_old_epoch_that_the_last_look_finds_does_not_end_capture() -> None:
    source, run = make_run("X", begins_msc=SPRING_MSC - 10 * MINUTE_MS)
    seen = old(-5_000, -3_000, -1_000)
    straggler = [*seen, *old(-30)]
    after = new(*range(61_000, 66_000, SECOND_MS))
    times = [(-4_000, seen[:1]), (-500, seen), (20, seen), (25, straggler), (60, straggler)]
    times += [(61_500 + i * 1_000, straggler + after[: i + 1]) for i in range(5)]

    play(source, run, [Step(SPRING_MSC + at, {"X": quotes(shown)}) for at, shown in times])

    assert source.steps == []
    assert captured(run) == [-5_000, -3_000, -1_000, -30, 61_000, 62_000, 63_000, 64_000, 65_000]
