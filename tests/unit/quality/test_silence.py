"""The five states of a feed, told apart by hand-written cases and on real recordings."""

import numpy as np
import pytest

from quality import silence
from quality.silence import Seen, State, Verdict
from tests.conftest import recording
from tickhub.core import calendars, clock
from tickhub.core.calendars import Calendar
from tickhub.core.ticks import Int64s
from tickhub.reference.calendars import DEFAULTS

FX = calendars.parse(name="fx", **DEFAULTS["fx"])
METALS = calendars.parse(name="metals", **DEFAULTS["metals"])
# Tuesday.
AT_MSC = clock.parse("2026-03-03T12:00Z")


def seen(feed_id: int, silent_ms: int, *, has_ticks: bool = True, calendar: Calendar | None = FX) -> Seen:
    return Seen(feed_id, AT_MSC - silent_ms, has_ticks, 60_000, calendar)


def states(*feeds: Seen, lost: str | None = None, at_msc: int = AT_MSC) -> list[str]:
    return [verdict.state.value for verdict in silence.judge(feeds, at_msc=at_msc, lost=lost)]


@pytest.mark.parametrize(
    ("silent_ms", "state"), [(0, "live"), (10_000, "live"), (10_001, "quiet"), (60_000, "quiet"), (60_001, "stalled")]
)
def test_a_feed_beside_a_live_one_is_live_then_quiet_then_stalled(silent_ms: int, state: str) -> None:
    assert states(seen(1, silent_ms), seen(2, -1)) == [state, "live"]


def test_feeds_that_are_all_silent_are_quiet_and_the_reason_says_so() -> None:
    verdicts = silence.judge([seen(1, 70_000), seen(2, 80_000)], at_msc=AT_MSC, lost=None)

    assert [verdict.state for verdict in verdicts] == [State.QUIET, State.QUIET]
    assert verdicts[0].reason == (
        "silent for 70.0 s, normal is up to 60.0 s, and the 1 other feeds of the source are silent too"
    )


def test_a_feed_alone_is_quiet_and_the_reason_says_that_nobody_could_tell() -> None:
    (verdict,) = silence.judge([seen(1, 70_000)], at_msc=AT_MSC, lost=None)

    assert verdict.state is State.QUIET
    assert verdict.reason.endswith("the source has no other feed that could tell")


def test_a_lost_connection_is_told_for_every_feed_but_a_closed_one() -> None:
    closed = calendars.parse(name="shut", zone="UTC", hours="Mon 00:00-01:00")

    assert states(seen(1, 0), seen(2, 0, calendar=closed), lost="no answer") == ["disconnected", "closed"]


def test_a_feed_that_never_had_a_tick_stalls_beside_live_ones() -> None:
    assert states(seen(1, 61_000, has_ticks=False), seen(2, 0)) == ["stalled", "live"]
    assert states(seen(1, 61_000, has_ticks=False), seen(2, 61_000, has_ticks=False)) == ["quiet", "quiet"]


def test_the_time_it_was_closed_is_no_silence() -> None:
    friday, monday = clock.parse("2026-03-06T21:59:50Z"), clock.parse("2026-03-08T21:00:40Z")
    feed = Seen(1, friday, True, 60_000, FX)

    (verdict,) = silence.judge([feed], at_msc=monday, lost=None)

    assert verdict.state is State.QUIET
    assert verdict.figures["silent_ms"] == 50_000


def test_a_live_feed_of_another_session_does_not_make_a_closed_one_stall() -> None:
    saturday = clock.parse("2026-03-07T12:00Z")
    feeds = [Seen(1, saturday - 5_000_000, True, 60_000, FX), Seen(2, saturday, True, 60_000, None)]

    assert states(*feeds, at_msc=saturday) == ["closed", "live"]


def test_a_moment_before_the_newest_tick_is_no_silence() -> None:
    assert states(seen(1, -5_000)) == ["live"]


@pytest.fixture(scope="module")
def recorded() -> dict[str, Int64s]:
    """The times of three real feeds of May 2014, as if of one terminal."""
    names = {"fxcm": "eurusd_fxcm_201405", "oanda": "eurusd_oanda_201405", "gold": "xauusd_oanda_20140502_05"}
    return {key: np.sort(np.load(recording(f"{name}.npz"))["ticks"]["time_msc"]) for key, name in names.items()}


def at(recorded: dict[str, Int64s], moment: str, *, lost: str | None = None, **dead: str) -> dict[str, Verdict]:
    """The verdicts at a recorded moment; ``dead`` feeds show nothing from a time on."""
    at_msc = clock.parse(moment)
    feeds = []
    for number, (name, times) in enumerate(recorded.items()):
        end_msc = min(at_msc, clock.parse(dead.get(name, moment)))
        before = times[: np.searchsorted(times, end_msc)]
        feeds.append(Seen(number, int(before[-1]), True, 60_000, METALS if name == "gold" else FX))
    return dict(zip(recorded, silence.judge(feeds, at_msc=at_msc, lost=lost), strict=True))


def test_real_silences_are_told_apart(recorded: dict[str, Int64s]) -> None:
    # A Saturday; the daily break of gold; a live moment; EURUSD dead for ten minutes of it; then the terminal as well.
    weekend = at(recorded, "2014-05-03T12:00Z")
    in_the_break = at(recorded, "2014-05-05T21:30Z")
    alive = at(recorded, "2014-05-05T14:00Z")
    dead_feed = at(recorded, "2014-05-05T14:00Z", fxcm="2014-05-05T13:50Z")
    dead_terminal = at(recorded, "2014-05-05T14:00Z", lost="the terminal does not answer")

    assert {verdict.state for verdict in weekend.values()} == {State.CLOSED}
    assert in_the_break["gold"].state is State.CLOSED
    assert in_the_break["oanda"].state in (State.LIVE, State.QUIET)
    assert [verdict.state for verdict in alive.values()] == [State.LIVE] * 3
    assert [verdict.state for verdict in dead_feed.values()] == [State.STALLED, State.LIVE, State.LIVE]
    assert "2 of 2 other feeds of the source are live" in dead_feed["fxcm"].reason
    assert {verdict.state for verdict in dead_terminal.values()} == {State.DISCONNECTED}


def test_a_real_feed_is_closed_on_a_holiday_that_its_calendar_knows(recorded: dict[str, Int64s]) -> None:
    # The recording ends where the day of trade of the 6th begins.
    holiday = calendars.parse(name="fx", **DEFAULTS["fx"] | {"holidays": "05-06 closed"})
    at_msc, evening = clock.parse("2014-05-06T12:00Z"), clock.parse("2014-05-05T21:00Z")
    times = recorded["oanda"][: np.searchsorted(recorded["oanda"], evening)]

    closed, unknown = silence.judge(
        [Seen(1, int(times[-1]), True, 60_000, holiday), Seen(2, int(times[-1]), True, 60_000, FX)],
        at_msc=at_msc,
        lost=None,
    )

    assert (closed.state, closed.reason) == (State.CLOSED, "calendar fx:1 is closed")
    assert unknown.state is State.QUIET
