"""reconcile asks an agent's terminal through the bridge; without an agent it says so and claims nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management import call_command
from django.db import connection

from ingest.models import Backfill, Reread
from tests.integration.bridge.conftest import NOON_MSC, Desk
from tests.integration.bridge.test_client_of_the_document import tick
from tests.integration.embedded.conftest import wait_for
from tests.running import drain
from tests.wire_client import Terminal, WireClient
from tickhub import reconcile
from tickhub.reconcile import Scope


def sent(desk: Desk) -> WireClient:
    """An agent that has sent 90 ticks over three hours, all of them stored."""
    terminal = Terminal(["EURUSD"])
    terminal.insert(0, [tick(minute * 120_000) for minute in range(90)])
    terminal.now_msc = NOON_MSC + 3 * 3_600_000
    client = desk.client(terminal)
    client.hello(begins_msc=NOON_MSC)
    client.poll()
    client.serve(lambda: len(client.answers) == 1)
    drain()
    return client


@contextmanager
def serving(client: WireClient) -> Iterator[None]:
    """Let a client answer the bridge beside the test."""
    is_over = threading.Event()
    thread = threading.Thread(target=client.serve, args=[is_over.is_set], kwargs={"within_s": 60}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def report(**scope: bool) -> reconcile.Report:
    return reconcile.reconcile(Scope(source="desk", is_deep=scope.get("is_deep", False)))


def test_a_connected_agent_is_asked_and_nothing_is_lost(desk: Desk) -> None:
    client = sent(desk)

    with serving(client):
        found = report()

    assert (found.captured, found.stored, found.lost, found.stored_twice) == (90, 90, 0, 0)
    assert (found.unavailable, found.differences) == ([], [])
    assert Reread.objects.count() == 0


def test_a_lost_tick_is_found_and_named(desk: Desk) -> None:
    client = sent(desk)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tick WHERE time_msc = %s", [NOON_MSC + 40 * 120_000])

    with serving(client):
        found = report(is_deep=True)

    assert (found.lost, found.stored_twice) == (1, 0)
    assert (
        "EURUSD of desk 2026-03-02T13:00:00.000Z: 1 lost, 0 stored twice or not of the source;"
        " first lost: 2026-03-02T13:20:00.000Z, bid 1.1, ask 1.1002, last 0.0, volume_real 0.0"
    ) in found.differences


def test_a_late_tick_that_reconcile_meets_first_is_captured_and_no_loss(desk: Desk) -> None:
    client = sent(desk)
    client.terminal.insert(0, [tick(5_000_000, 1.9)])

    with serving(client):
        report()
        drain()
        found = report()

    assert (found.captured, found.lost, found.differences) == (91, 0, [])


def test_history_is_read_again_through_the_agent_on_request(desk: Desk) -> None:
    client = sent(desk)
    # Before the feed's begin, where no pass looks.
    client.terminal.insert(0, [tick(-60_000, 1.9)])

    with serving(client):
        call_command("backfill", feed="EURUSD", from_time=str(NOON_MSC - 90_000), to_time=str(NOON_MSC))
        drain()
        found = report()

    asked = Backfill.objects.get()
    assert (asked.state, asked.captured, asked.failure) == ("DONE", 1, "")
    assert (found.captured, found.stored, found.lost, found.quarantined) == (91, 91, 0, 0)


def test_a_terminal_that_refuses_to_be_read_makes_the_loss_unknown(desk: Desk) -> None:
    client = sent(desk)
    client.terminal.error = (-4, "Terminal: Not found")

    with serving(client):
        found = report()

    assert (found.captured, found.lost, found.stored_twice) == (90, None, None)
    assert found.unavailable == ["EURUSD of desk: EURUSD: terminal error -4 Terminal: Not found"]


def test_without_an_agent_the_source_is_unavailable_and_the_loss_unknown(desk: Desk) -> None:
    client = sent(desk)
    client.finish()
    assert wait_for(desk.is_left, within_s=20)

    found = report()

    assert (found.captured, found.lost, found.stored_twice) == (90, None, None)
    assert found.unavailable == ["desk: source desk: no agent is connected, so its terminal cannot be asked"]
