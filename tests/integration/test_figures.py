"""The live figures of `up`, look after look."""

import pytest

from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import make_rig
from tickhub.supervisor import figures

pytestmark = pytest.mark.usefixtures("database")


def test_a_run_is_added_up_over_looks_while_batches_wait_and_after() -> None:
    rig = make_rig("EURUSD")
    live = figures.Live(names=["hand"], after_batch=figures.newest_batch(), window_s=5.0)
    rows = make_ticks([(0, 1.1, 1.2), (1, 1.3, 1.2), (2, -1.0, 1.2), (900, 1.1, 1.2)])
    rig.source.now_msc = NOON_MSC + 1000
    rig.terminal.history["EURUSD"] = rows[:3]
    rig.poller.poll()

    (waiting,) = live.look().sources
    running.drain()
    (stored,) = live.look().sources
    rig.terminal.history["EURUSD"] = rows
    rig.poller.poll()
    (again,) = live.look().sources

    assert (waiting.captured, waiting.waiting, waiting.flagged) == (3, 1, 0)
    assert (stored.captured, stored.waiting, stored.flagged, stored.quarantined) == (3, 0, 2, 1)
    assert (again.captured, again.waiting, again.flagged) == (4, 1, 2)


def test_batches_before_the_run_do_not_count() -> None:
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2)])
    rig.poller.poll()
    running.drain()

    live = figures.Live(names=["hand"], after_batch=figures.newest_batch(), window_s=5.0)

    assert [source.captured for source in live.look().sources] == [0]
