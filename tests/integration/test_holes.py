"""What a terminal missed appears behind newer ticks, hours later and in any order: it is captured all the same."""

from functools import partial

import pytest

from ingest import backfill, coverage, leases, synchronising
from ingest.backfill import Backfiller
from ingest.models import Backfill
from ingest.sources.terminal import Link
from ingest.synchronising import DOUBT_S, Synchroniser
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.integration.test_capture import captured
from tests.terminals import LinkedSource
from tickhub.core import clock
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Ticks

pytestmark = pytest.mark.usefixtures("database")

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
BEFORE = make_ticks([(0, 1.1, 1.2), (MINUTE_MS, 1.1, 1.3)])
MISSED = make_ticks([(30 * MINUTE_MS, 1.2, 1.3), (90 * MINUTE_MS, 1.3, 1.4), (150 * MINUTE_MS, 1.4, 1.5)])
LIVE = make_ticks([(3 * HOUR_MS, 1.5, 1.6)])
WHOLE = tick_arrays.join([BEFORE, MISSED, LIVE])


def linked_rig(name: str = "hand") -> Rig:
    rig = make_rig("EURUSD", name=name)
    own = LinkedSource(rig.terminal, ("EURUSD",), now_msc=NOON_MSC)
    rig.source = rig.poller.source = own
    rig.poller.synchroniser = Synchroniser(terminal=rig.terminal)
    return rig


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synchronising, "PAUSE_S", 0.0)


def poll(rig: Rig, *, at_ms: int) -> None:
    """Poll at a time until the terminal's history is agreed on."""
    rig.source.now_msc = NOON_MSC + at_ms
    rig.poller.poll()
    while rig.poller.synchroniser.is_waiting:
        rig.poller.poll()


def settle_all(rig: Rig) -> int:
    return rig.poller.settler.run(rig.poller.states, now_msc=rig.poller.now_msc)


def show(rig: Rig, *rows: Ticks) -> None:
    rig.terminal.history["EURUSD"] = tick_arrays.join(list(rows))


def lose_link_for_three_hours(rig: Rig, source: LinkedSource) -> None:
    """Capture what is shown before an outage, and pass over the past again and again during it."""
    show(rig, BEFORE)
    poll(rig, at_ms=2 * MINUTE_MS)
    source.link = Link.LINK_LOST
    for half_hours in range(1, 6):
        poll(rig, at_ms=half_hours * HOUR_MS // 2)
        settle_all(rig)


def as_rows(ticks: Ticks) -> list[bytes]:
    return sorted(row.tobytes() for row in ticks)


def test_outage_whose_end_a_poll_met_between_its_looks_is_passed_over_from_its_begin(no_pause: None) -> None:
    rig = linked_rig()
    source = rig.source
    assert isinstance(source, LinkedSource)
    lose_link_for_three_hours(rig, source)
    # The look at the connection finds the link lost, the read behind it meets the first new tick.
    show(rig, BEFORE, LIVE)
    poll(rig, at_ms=3 * HOUR_MS)

    source.link, source.count = Link.CONNECTED, 2
    show(rig, BEFORE, MISSED, LIVE)
    poll(rig, at_ms=3 * HOUR_MS + 1_000)
    settle_all(rig)

    assert as_rows(captured(rig)) == as_rows(WHOLE)


def test_poller_that_follows_a_killed_one_passes_over_what_that_one_doubted(no_pause: None) -> None:
    rig = linked_rig()
    source = rig.source
    assert isinstance(source, LinkedSource)
    lose_link_for_three_hours(rig, source)
    source.link, source.count = Link.CONNECTED, 2
    show(rig, BEFORE, LIVE)
    poll(rig, at_ms=3 * HOUR_MS)
    leases.release(rig.poller.lease)

    following = linked_rig()
    show(following, BEFORE, MISSED, LIVE)
    poll(following, at_ms=3 * HOUR_MS + 1_000)
    settle_all(following)

    assert as_rows(captured(following)) == as_rows(WHOLE)


def test_history_that_comes_after_the_first_pass_found_nothing_is_passed_over_once_more(
    no_pause: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "DOUBT_S", 1.0)
    rig = linked_rig()
    source = rig.source
    assert isinstance(source, LinkedSource)
    lose_link_for_three_hours(rig, source)
    source.link, source.count = Link.CONNECTED, 2
    show(rig, BEFORE, LIVE)
    poll(rig, at_ms=3 * HOUR_MS)
    assert settle_all(rig) == 0

    show(rig, BEFORE, MISSED, LIVE)
    poll(rig, at_ms=3 * HOUR_MS + 1_000)
    deadline_s = clock.monotonic_s() + 10
    while len(captured(rig)) < len(WHOLE) and clock.monotonic_s() < deadline_s:
        rig.poller.settler.step(rig.poller.states, now_msc=rig.poller.now_msc)

    assert as_rows(captured(rig)) == as_rows(WHOLE)


def test_first_answer_of_a_feed_that_begins_hours_ago_may_lack_its_middle() -> None:
    rig = make_rig("EURUSD")
    show(rig, BEFORE, LIVE)
    poll(rig, at_ms=3 * HOUR_MS)
    # The tail, which the next poll compares, begins behind what is missing from here on.
    poll(rig, at_ms=3 * HOUR_MS + 1_000)

    show(rig, BEFORE, MISSED, LIVE)
    settle_all(rig)

    assert as_rows(captured(rig)) == as_rows(WHOLE)


def test_terminal_that_nobody_looked_at_for_a_minute_has_to_agree_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = linked_rig()
    show(rig, BEFORE)
    synchroniser = rig.poller.synchroniser
    assert synchroniser.has_changed(1)
    assert not synchroniser.has_changed(1)

    monkeypatch.setattr(synchronising, "UNSEEN_S", -1.0)

    assert synchroniser.has_changed(1)


def test_a_backfill_is_not_done_while_the_history_may_still_grow(
    no_pause: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = linked_rig()
    source = rig.source
    assert isinstance(source, LinkedSource)
    show(rig, LIVE)
    poll(rig, at_ms=3 * HOUR_MS)
    number = backfill.request(
        feed_id=rig.feeds["EURUSD"].pk, from_msc=NOON_MSC, to_msc=NOON_MSC + 2 * HOUR_MS, reason="test"
    )
    # The terminal is found again; what is old is still being fetched, while two reads of the newest agree.
    source.link, source.count = Link.CONNECTED, 2
    poll(rig, at_ms=3 * HOUR_MS + 1_000)
    backfiller = Backfiller(rig.poller)
    steps = [backfiller.step() for _ in range(100)]
    before = Backfill.objects.get(pk=number).state

    show(rig, BEFORE, MISSED[:2], LIVE)
    begun_s = clock.monotonic_s()
    # Polls go on meanwhile, or the terminal would be doubted anew.
    for later_s in range(0, int(DOUBT_S) + 30, 30):
        monkeypatch.setattr(clock, "monotonic_s", partial(float, begun_s + later_s))
        poll(rig, at_ms=3 * HOUR_MS + 2_000 + later_s * 1_000)
    steps += [backfiller.step() for _ in range(100)]

    assert (before, Backfill.objects.get(pk=number).state, sum(steps)) == ("OPEN", "DONE", 4)
    assert as_rows(captured(rig)) == as_rows(tick_arrays.join([BEFORE, MISSED[:2], LIVE]))
