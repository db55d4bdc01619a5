"""What is missing of real recordings, by the hour: weekend, break, holiday, dead feed and dead terminal are told apart.

Three feeds of May 2014 are examined as if of one terminal. Where one dies they are cut, as none does so by itself.
"""

import numpy as np
import pytest

from quality import gaps
from quality.gaps import Lost, Neighbour
from tests.conftest import recording
from tickhub.core import calendars, clock
from tickhub.core.calendars import Calendar
from tickhub.core.clock import HOUR_MS, MINUTE_MS
from tickhub.core.ticks import Int64s
from tickhub.reference.calendars import DEFAULTS

FX = calendars.parse(name="fx", **DEFAULTS["fx"])
METALS = calendars.parse(name="metals", **DEFAULTS["metals"])
HOLIDAY = calendars.parse(name="fx", **DEFAULTS["fx"] | {"holidays": "05-05 closed"})
FEEDS = {"fxcm": "eurusd_fxcm_201405", "oanda": "eurusd_oanda_201405", "gold": "xauusd_oanda_20140502_05"}

Told = dict[str, list[tuple[int, int, str]]]


@pytest.fixture(scope="module")
def recorded() -> dict[str, Int64s]:
    return {feed: np.sort(np.load(recording(f"{name}.npz"))["ticks"]["time_msc"]) for feed, name in FEEDS.items()}


def told(
    recorded: dict[str, Int64s],
    hour: str,
    *,
    dead: dict[str, str] | None = None,
    lost: tuple[int, int] | None = None,
    currencies: Calendar = FX,
) -> Told:
    """The stretches of each feed in one hour, in its minutes; ``dead`` feeds show nothing from a time on.

    A silence of five minutes is normal.
    """
    low_msc = clock.parse(hour)
    seen, since = {}, {}
    for feed, times in recorded.items():
        shown = times[: np.searchsorted(times, clock.parse((dead or {}).get(feed, "2014-05-31")))]
        begin, end = np.searchsorted(shown, [low_msc, low_msc + HOUR_MS])
        calendar = METALS if feed == "gold" else currencies
        seen[feed] = Neighbour(shown[begin:end], 5 * MINUTE_MS, calendar)
        since[feed] = int(shown[begin - 1])
    found: Told = {}
    for feed, own in seen.items():
        stretches = gaps.find(
            own.times_msc,
            since_msc=since[feed],
            from_msc=low_msc,
            to_msc=low_msc + HOUR_MS,
            allowed_ms=own.allowed_ms,
            calendar=own.calendar,
            lost=[]
            if lost is None
            else [Lost(low_msc + lost[0] * MINUTE_MS, low_msc + lost[1] * MINUTE_MS, "IPC_LOST")],
            others=[other for name, other in seen.items() if name != feed],
        )
        found[feed] = [
            (round((s.from_msc - low_msc) / MINUTE_MS), round((s.to_msc - low_msc) / MINUTE_MS), s.kind.value)
            for s in stretches
        ]
    return found


def everywhere(begin: int, end: int, kind: str) -> Told:
    return {feed: [(begin, end, kind)] for feed in FEEDS}


def test_nothing_is_missing_of_a_live_hour(recorded: dict[str, Int64s]) -> None:
    assert told(recorded, "2014-05-05T14:00Z") == {"fxcm": [], "oanda": [], "gold": []}


def test_the_weekend_is_closed(recorded: dict[str, Int64s]) -> None:
    assert told(recorded, "2014-05-03T12:00Z") == everywhere(0, 60, "CLOSED")


def test_the_daily_break_is_closed_for_gold_alone(recorded: dict[str, Int64s]) -> None:
    # In 2014 it lasted 46 minutes, today an hour: until it began there are ticks, out of session.
    found = told(recorded, "2014-05-05T21:00Z")

    *_, last = found["gold"]
    assert last == (14, 60, "CLOSED")
    assert {feed: {kind for *_, kind in own} for feed, own in found.items()} == {
        "gold": {"CLOSED"},
        "fxcm": set(),
        "oanda": set(),
    }


def test_a_holiday_is_closed_and_one_that_no_calendar_knows_is_quiet(recorded: dict[str, Int64s]) -> None:
    # Nobody shows anything from midnight in New York on.
    shut = dict.fromkeys(FEEDS, "2014-05-05T04:00Z")

    known = told(recorded, "2014-05-05T14:00Z", dead=shut, currencies=HOLIDAY)
    unknown = told(recorded, "2014-05-05T14:00Z", dead=shut)

    assert known["fxcm"] == known["oanda"] == [(0, 60, "CLOSED")]
    assert unknown == everywhere(0, 60, "QUIET")


def test_a_dead_feed_stalls_and_a_dead_terminal_is_disconnected(recorded: dict[str, Int64s]) -> None:
    feed = told(recorded, "2014-05-05T14:00Z", dead={"fxcm": "2014-05-05T14:20Z"})
    terminal = told(recorded, "2014-05-05T14:00Z", dead=dict.fromkeys(FEEDS, "2014-05-05T14:20Z"), lost=(20, 60))

    assert feed == {"fxcm": [(20, 60, "STALLED")], "oanda": [], "gold": []}
    assert terminal == everywhere(20, 60, "DISCONNECTED")
