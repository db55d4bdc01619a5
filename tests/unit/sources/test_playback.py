"""Playback clocks: how a recording's time goes on."""

import numpy as np

from ingest.sources.playback import HostClock, RevealClock, TimedClock

HOUR_MS = 3_600_000


class Host:
    """The host's clock, set by the test."""

    def __init__(self, now_msc: int) -> None:
        self.now_msc = now_msc

    def __call__(self) -> int:
        return self.now_msc


def times(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_host_clock_is_the_host_s_time() -> None:
    host = Host(1_000_000)
    playback = HostClock(host_now_msc=host)

    host.now_msc += 50
    playback.advance()

    assert playback.now_msc == 1_000_050


def test_host_clock_waits_where_the_host_was_set_back() -> None:
    host = Host(1_000_000)
    playback = HostClock(host_now_msc=host)

    host.now_msc -= 500
    playback.advance()

    assert playback.now_msc == 1_000_000


def test_timed_clock_runs_at_its_speed_from_the_origin() -> None:
    host = Host(1_000_000)
    playback = TimedClock(origin_msc=1_000_000, start_msc=77, speed=2.5, host_now_msc=host)

    first = playback.now_msc
    host.now_msc += 1_000
    playback.advance()

    assert (first, playback.now_msc) == (77, 2_577)


def test_clock_stands_still_until_it_is_advanced() -> None:
    host = Host(1_000_000)
    playback = TimedClock(origin_msc=1_000_000, start_msc=77, speed=1, host_now_msc=host)

    host.now_msc += 1_000

    assert playback.now_msc == 77


def test_timed_clock_continues_after_a_restart_where_it_would_have_been() -> None:
    host = Host(9_000_000)

    playback = TimedClock(origin_msc=1_000_000, start_msc=77, speed=1, host_now_msc=host)

    assert playback.now_msc == 8_000_077


def test_reveal_shows_nothing_before_the_first_poll() -> None:
    assert RevealClock([times(5, 6)], reached_msc=None).now_msc == 4


def test_reveal_shows_at_most_so_many_rows_over_all_tapes() -> None:
    playback = RevealClock([times(1, 3, 5, 7), times(2, 4, 6, 8)], reached_msc=None, reveal_ticks=3)
    shown = []

    for _ in range(4):
        playback.advance()
        shown.append(playback.now_msc)

    assert shown == [3, 6, 8, 8]


def test_reveal_stops_before_a_millisecond_that_does_not_fit_whole() -> None:
    playback = RevealClock([times(1, 2, 2, 2, 3)], reached_msc=None, reveal_ticks=2)

    playback.advance()

    assert playback.now_msc == 1


def test_reveal_shows_a_millisecond_whole_that_alone_is_too_large() -> None:
    playback = RevealClock([times(1, 2, 2, 2, 3)], reached_msc=1, reveal_ticks=2)

    playback.advance()

    assert playback.now_msc == 2


def test_reveal_continues_behind_what_was_captured_before_a_restart() -> None:
    playback = RevealClock([times(1, 3, 5, 7)], reached_msc=5, reveal_ticks=1)

    before = playback.now_msc
    playback.advance()

    assert (before, playback.now_msc) == (5, 7)
