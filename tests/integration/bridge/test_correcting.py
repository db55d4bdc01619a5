"""A corrected clock of a source whose ticks an agent sends: its cursors stand, and its old frames are still known."""

from io import StringIO

from django.core.management import call_command

from storage import reader
from tests import running
from tests.integration.bridge.conftest import NOON_MSC, Desk
from tests.integration.bridge.test_frames import connected, send
from tests.integration.embedded.conftest import wait_for
from tickhub import reconcile
from tickhub.core.clock import HOUR_MS
from tickhub.management.periods import EVER
from tickhub.reconcile import Scope
from tickhub.reference.models import Feed


def test_agent_goes_on_where_it_was_after_a_correction_and_a_repeated_frame_adds_nothing(desk: Desk) -> None:
    client = connected(desk)
    send(client, 1, [NOON_MSC, 0], 5, 5, 8)
    client.finish()
    assert wait_for(desk.is_left, within_s=10)
    running.drain()

    call_command("correct_clock", source="desk", clock="+02:00", stdout=StringIO(), stderr=StringIO())

    again = connected(desk)
    again.terminal = client.terminal
    assert again.cursors == [[NOON_MSC + 8, 1]]
    again.socket.send(client.frames_sent[0])
    again.serve(lambda: len(again.answers) == 1)
    assert again.answers == [{"type": "ack", "number": 1, "cursors": [[0, NOON_MSC + 8, 1]]}]
    send(again, 2, [NOON_MSC + 8, 1], 12)
    again.serve(lambda: len(again.answers) == 2)
    running.drain()
    rows = reader.read(feed_id=Feed.objects.get().pk, from_msc=EVER[0], to_msc=EVER[1])
    assert (rows.ticks["time_msc"] - NOON_MSC + 2 * HOUR_MS).tolist() == [5, 5, 8, 12]
    report = reconcile.reconcile(Scope(is_deep=True))
    assert (report.captured, report.stored, report.differences) == (4, 4, [])
