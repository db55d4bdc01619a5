"""What is missing and why, with expected values by hand and the counts of the real recordings."""

import numpy as np
import pytest

from quality import completeness, gaps, sessions
from quality.completeness import Hour
from quality.gaps import Kind, Lost, Neighbour, Stretch
from tests.conftest import recording
from tickhub.core import calendars, clock
from tickhub.core.calendars import Calendar
from tickhub.core.clock import HOUR_MS
from tickhub.core.ticks import Int64s
from tickhub.reference.calendars import DEFAULTS

FX = calendars.parse(name="fx", **DEFAULTS["fx"])
METALS = calendars.parse(name="metals", **DEFAULTS["metals"])
# Tuesday, a whole hour.
START_MSC = clock.parse("2026-03-03T12:00Z")
END_MSC = START_MSC + HOUR_MS
MINUTE = 60_000


def minutes(*places: float) -> Int64s:
    """Times so many minutes after the start."""
    return np.array([START_MSC + int(place * MINUTE) for place in places], dtype=np.int64)


EVERY_MINUTE = minutes(*range(60))


def find(
    times: Int64s,
    *,
    since: float = 0,
    allowed: float = 1,
    calendar: Calendar | None = None,
    lost: list[Lost] | None = None,
    others: list[Neighbour] | None = None,
) -> list[tuple[float, float, str]]:
    """The stretches of one hour, in minutes after its begin."""
    found = gaps.find(
        times,
        since_msc=START_MSC + int(since * MINUTE),
        from_msc=START_MSC,
        to_msc=END_MSC,
        allowed_ms=int(allowed * MINUTE),
        calendar=calendar,
        lost=lost or [],
        others=others or [],
    )
    return [((s.from_msc - START_MSC) / MINUTE, (s.to_msc - START_MSC) / MINUTE, s.kind.value) for s in found]


def live(calendar: Calendar | None = None) -> Neighbour:
    return Neighbour(EVERY_MINUTE, MINUTE, calendar)


def silent() -> Neighbour:
    return Neighbour(EVERY_MINUTE[:1], MINUTE, None)


def lost(begin: float, end: float) -> Lost:
    return Lost(START_MSC + int(begin * MINUTE), START_MSC + int(end * MINUTE), "the terminal does not answer")


def test_a_feed_with_a_tick_a_minute_misses_nothing() -> None:
    assert find(EVERY_MINUTE, others=[live()]) == []


def test_a_silence_among_live_feeds_is_stalled_and_among_silent_ones_quiet_and_alone_unknown() -> None:
    times = np.delete(EVERY_MINUTE, slice(11, 20))

    assert find(times, others=[live(), silent()]) == [(10, 20, "STALLED")]
    assert find(times, others=[silent()]) == [(10, 20, "QUIET")]
    assert find(times) == [(10, 20, "UNKNOWN")]


def test_a_silence_that_is_normal_for_the_feed_is_no_gap() -> None:
    times = np.delete(EVERY_MINUTE, slice(11, 20))

    assert find(times, allowed=10, others=[live()]) == []
    assert find(times, allowed=9.9, others=[live()]) == [(10, 20, "STALLED")]


def test_a_lost_connection_cuts_a_silence_and_is_told_however_short() -> None:
    times = np.delete(EVERY_MINUTE, slice(11, 20))

    assert find(times, allowed=30, lost=[lost(12, 14)]) == [(12, 14, "DISCONNECTED")]
    assert find(times, lost=[lost(0, 14)], others=[live()]) == [(10, 14, "DISCONNECTED"), (14, 20, "STALLED")]


def test_a_lost_connection_of_which_nothing_is_missing_is_no_gap() -> None:
    assert find(EVERY_MINUTE, lost=[lost(10, 30)]) == []


def test_a_silence_over_the_bounds_of_the_hour_is_measured_as_a_whole_and_told_within() -> None:
    assert find(minutes(30), since=-10, allowed=39, others=[live()]) == [(0, 30, "STALLED")]
    assert find(minutes(30), since=-10, allowed=41, others=[live()]) == []
    assert find(minutes(), since=-10, allowed=39, others=[live()]) == [(0, 60, "STALLED")]


def test_the_break_of_a_session_is_closed_and_what_lies_round_it_is_judged() -> None:
    break_ = calendars.parse(name="x", zone="UTC", hours="Tue 00:00-24:00", breaks="Tue 12:10-12:20")
    times = minutes(0, 25, *range(26, 60))

    assert find(times, allowed=4, calendar=break_, others=[live()]) == [
        (0, 10, "STALLED"),
        (10, 20, "CLOSED"),
        (20, 25, "STALLED"),
    ]
    assert find(times, allowed=5, calendar=break_, others=[live()]) == [(0, 10, "STALLED"), (10, 20, "CLOSED")]
    assert find(times, allowed=10, calendar=break_, others=[live()]) == [(10, 20, "CLOSED")]


def test_feeds_whose_session_is_closed_are_not_asked() -> None:
    shut = calendars.parse(name="shut", zone="UTC", hours="Mon 00:00-24:00")
    times = np.delete(EVERY_MINUTE, slice(11, 20))

    assert find(times, others=[live(shut)]) == [(10, 20, "UNKNOWN")]


def test_only_what_is_missing_counts() -> None:
    stretches = [Stretch(0, 10, kind, "") for kind in Kind]

    assert gaps.missing_ms(stretches) == 30


@pytest.mark.parametrize(
    ("name", "calendar", "all_long", "within_session"),
    [
        # data/SOURCES.md counts stretches outside weekends: 507, 970, 26 and 348; in all there are 2, 2, 1 and 0 more.
        # FXCM shows prices two hours before the open on Sundays: 63 of its stretches lie there. Of gold the daily break
        # and two in the quarter of an hour before it, which then began at 17:15, lie outside today's session.
        ("eurusd_fxcm_201405", FX, 507 + 2, 507 - 63),
        ("eurusd_oanda_201405", FX, 970 + 2, 970),
        ("xauusd_oanda_20140502_05", METALS, 26 + 1, 26 - 3),
        ("spy_lean_trades_201310", None, 348, 348),
    ],
)
def test_the_long_stretches_of_real_recordings(
    name: str, calendar: Calendar | None, all_long: int, within_session: int
) -> None:
    times = np.sort(np.load(recording(f"{name}.npz"))["ticks"]["time_msc"])

    found = gaps.longer_than(times, 60_000)
    in_session = gaps.longer_than(times, 60_000, calendar)

    assert (len(found), len(in_session)) == (all_long, within_session)


def test_no_stretch_lies_between_fewer_than_two_ticks() -> None:
    for times in ([], [5]):
        assert gaps.longer_than(np.array(times, dtype=np.int64), 0, FX).shape == (0, 2)


def test_a_day_of_trade_lies_between_two_rollovers() -> None:
    # Sunday 1 November 2026: New York leaves summer time at 06:00 UTC, so that day of trade has 25 hours.
    before, after = clock.parse("2026-10-31T21:00Z"), clock.parse("2026-11-01T22:00Z")

    assert sessions.day_of_trade(FX, before) == (before, after)
    assert sessions.day_of_trade(FX, after - 1) == (before, after)
    assert sessions.day_of_trade(FX, after) == (after, after + 24 * HOUR_MS)


def test_completeness_is_the_share_of_the_session_that_is_not_missing() -> None:
    hours = [Hour(10, HOUR_MS, 0), Hour(11, HOUR_MS, 15 * MINUTE), Hour(12, 0, 0), Hour(24, HOUR_MS, HOUR_MS)]

    assert [share.ratio for share in completeness.by_hour(hours)] == [1, 0.75, None, 0]
    assert [share.ratio for share in completeness.by_day(hours)] == [0.875, 0]
    assert completeness.share(hours, from_msc=11 * HOUR_MS, to_msc=13 * HOUR_MS).ratio == 0.75


def test_more_than_a_twentieth_of_the_whole_day_of_trade_is_too_much() -> None:
    hour = START_MSC // HOUR_MS
    # A day of trade of currencies has 24 hours: 72 minutes are a twentieth.
    hours = [Hour(hour, HOUR_MS, HOUR_MS), Hour(hour + 1, HOUR_MS, 12 * MINUTE)]
    (enough,) = completeness.by_session(hours, FX)
    (short,) = completeness.by_session([*hours, Hour(hour + 2, HOUR_MS, 1)], FX)

    assert not completeness.is_incomplete(enough, FX)
    assert completeness.is_incomplete(short, FX)
    assert completeness.is_incomplete(short, None)
