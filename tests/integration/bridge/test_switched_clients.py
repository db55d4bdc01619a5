"""A clock that is switched, through an agent written from docs/wire.md alone."""

from functools import partial

import pytest

from ingest.models import Backfill
from quality.models import Incident
from tests import running as pipeline
from tests.integration.bridge.conftest import Desk
from tests.integration.bridge.test_refusals import closing
from tests.integration.embedded.conftest import wait_for
from tests.integration.test_clocks import AUTUMN_MSC, HOUR_MS, MINUTE_MS, SPRING_MSC, flagged, stored
from tests.wire_client import Terminal, WireClient
from tickhub.core import clock
from tickhub.core.flags import Flag
from tickhub.reference.models import UnsurePass

pytestmark = pytest.mark.usefixtures("database")


def test_an_agent_that_does_not_tell_its_clocks_rule_is_refused_in_one_line(broker: Desk) -> None:
    terminal = Terminal(["EURUSD"])
    terminal.now_msc = clock.now_msc()
    said = [{}, {"clock": "Europe/Athens"}, {"clock": "nowhere"}]
    known = "America/New_York+07:00"

    clients = [broker.client(terminal) for _ in said]
    reasons = [closing(c, partial(c.hello, begins_msc=0, **m)) for c, m in zip(clients, said, strict=True)]

    assert reasons == [
        (4003, f"source broker: its clock {known} is switched: the hello has to tell it as `clock`"),
        (4003, f"the agent's clock is Europe/Athens, that of broker {known}"),
        (4003, f"the agent's clock is nowhere, that of broker {known}"),
    ]


def row(client: WireClient, after_ms: int, offset_hours: int, price: float, *, switch_msc: int = AUTUMN_MSC) -> None:
    """Let a client's terminal show one more tick, made so long after a switch."""
    wall = switch_msc + after_ms + offset_hours * HOUR_MS
    client.terminal.insert(0, [(wall // 1000, price, price + 1, 0.0, 0, wall, 6, 0.0)])


@pytest.mark.parametrize("uses_binary", [False, True], ids=["JSON", "binary"])
def test_a_client_of_the_document_goes_through_both_passes_and_late_rows_go_to_the_first(
    broker: Desk, uses_binary: bool
) -> None:
    client = broker.client(Terminal(["BTCUSD"]), uses_binary=uses_binary)
    made = {minute: 60_000.0 + minute for minute in range(-90, 91) if minute}
    begins_msc = AUTUMN_MSC - 90 * MINUTE_MS
    client.terminal.now_msc = AUTUMN_MSC - 30_000 + 3 * HOUR_MS
    for minute in range(-90, 0):
        row(client, minute * MINUTE_MS, 3, made[minute])
    welcome = client.hello(begins_msc=begins_msc, clock="NY+7", now_msc=AUTUMN_MSC - 30_000)
    client.poll()
    client.serve(lambda: len(client.answers) == 1)
    client.terminal.now_msc = AUTUMN_MSC + 100 + 3 * HOUR_MS

    client.say(type="epoch_read", now_msc=client.terminal.now_msc)
    client.serve(lambda: client.welcomes == 2)
    second = client.epoch or {}
    # Of the first pass, shown only now: where the second has not been yet, it can be of no other.
    row(client, -20 * MINUTE_MS + 7, 3, 1.0)
    client.serve(lambda: broker.captured() == 91)
    for minute in range(1, 91):
        # The newest that is shown up to now is of the first pass each time.
        row(client, minute * MINUTE_MS - 7, 2, made[minute])
        client.terminal.now_msc = AUTUMN_MSC + minute * MINUTE_MS + 2 * HOUR_MS
        client.poll()
        client.serve(lambda: len(client.answers) >= len(client.frames_sent))
    client.finish()
    pipeline.drain()

    end_msc = AUTUMN_MSC + 3 * HOUR_MS
    assert welcome["epoch"] == {
        "offset_ms": 3 * HOUR_MS,
        "ends_msc": end_msc,
        "until_msc": end_msc,
        "mixed_until_msc": None,
    }
    assert (second["offset_ms"], second["mixed_until_msc"]) == (2 * HOUR_MS, end_msc)
    found = {int(t["time_msc"]): float(t["bid"]) for t in stored()}
    expected = {AUTUMN_MSC + minute * MINUTE_MS - 7 * (minute > 0): price for minute, price in made.items()}
    assert {answer["type"] for answer in client.answers} == {"ack"}
    assert found == expected | {AUTUMN_MSC - 20 * MINUTE_MS + 7: 1.0}
    assert flagged(Flag.LATE) == [AUTUMN_MSC - 20 * MINUTE_MS + 7]
    assert flagged(Flag.AMBIGUOUS_TIME) == []


def test_an_epoch_that_is_said_to_be_read_before_its_end_closes_the_connection(broker: Desk) -> None:
    client = broker.client(Terminal(["BTCUSD"]))
    client.terminal.now_msc = AUTUMN_MSC - 1 + 3 * HOUR_MS
    client.hello(begins_msc=AUTUMN_MSC - HOUR_MS, clock="NY+7", now_msc=AUTUMN_MSC - 1)

    reason = closing(client, lambda: client.say(type="epoch_read", now_msc=client.terminal.now_msc))

    assert reason == (4000, "epoch_read: the epoch is not over at 2025-11-02T05:59:59.999Z")


def test_a_symbol_that_could_not_be_read_at_the_switch_is_left_to_a_backfill_and_told(broker: Desk) -> None:
    client = polled(broker, -40 * MINUTE_MS, polled_ms=-30_000)
    client.terminal.now_msc = AUTUMN_MSC + 100 + 3 * HOUR_MS

    client.say(type="epoch_read", now_msc=client.terminal.now_msc, unread=[[0, "its history was not whole"]])
    client.serve(lambda: client.welcomes == 2)

    asked = Backfill.objects.get()
    assert (asked.from_msc, asked.to_msc) == (AUTUMN_MSC - 90 * MINUTE_MS, AUTUMN_MSC)
    (told,) = Incident.objects.get(cause="EPOCH_UNREAD").evidence["feeds"]
    assert (told["symbol"], told["why"]) == ("BTCUSD", "its history was not whole")


def polled(broker: Desk, tick_ms: int, *, polled_ms: int, begins_ms: int = -90 * MINUTE_MS) -> WireClient:
    """A client with one tick, captured by a poll; all times are after the switch, hence below 0 in the old epoch."""
    client = broker.client(Terminal(["BTCUSD"]))
    row(client, tick_ms, 3, 60_000.0)
    client.terminal.now_msc = AUTUMN_MSC + polled_ms + 3 * HOUR_MS
    client.hello(begins_msc=AUTUMN_MSC + begins_ms, clock="NY+7", now_msc=AUTUMN_MSC + polled_ms)
    client.poll()
    client.serve(lambda: len(client.answers) == 1)
    return client


def leave(client: WireClient) -> None:
    """Say that an epoch is read for as often as the bridge welcomes the client in the same one."""
    before = client.epoch
    while client.epoch == before:
        welcomed = client.welcomes
        client.say(type="epoch_read", now_msc=client.terminal.now_msc)
        client.serve(partial(has_more_welcomes, client, welcomed))


def has_more_welcomes(client: WireClient, count: int) -> bool:
    return client.welcomes > count


@pytest.mark.usefixtures("short_doubt")
def test_an_epoch_whose_history_never_comes_to_rest_is_left_to_a_backfill_and_told(broker: Desk) -> None:
    client = polled(broker, -40 * MINUTE_MS, polled_ms=-30_000)
    client.terminal.condition = {"link": "LINK_LOST"}
    client.beat()
    client.terminal.now_msc = AUTUMN_MSC + 100 + 3 * HOUR_MS

    client.say(type="epoch_read", now_msc=client.terminal.now_msc)
    client.serve(lambda: client.welcomes == 2)

    asked = Backfill.objects.get()
    assert (asked.from_msc, asked.to_msc) == (AUTUMN_MSC - 90 * MINUTE_MS, AUTUMN_MSC)
    (told,) = Incident.objects.get(cause="EPOCH_UNREAD").evidence["feeds"]
    assert (told["symbol"], told["why"]) == ("BTCUSD", "the last pass over it was broken off")


@pytest.mark.usefixtures("short_doubt")
def test_what_appears_after_an_epoch_was_told_as_read_too_early_is_captured_before_it_is_left(broker: Desk) -> None:
    client = polled(broker, -190 * MINUTE_MS, polled_ms=-185 * MINUTE_MS, begins_ms=-240 * MINUTE_MS)
    for link in ("LINK_LOST", "CONNECTED"):
        client.terminal.condition = {"link": link}
        client.beat()
        client.terminal.now_msc = AUTUMN_MSC + 5 * MINUTE_MS + 3 * HOUR_MS

    client.say(type="epoch_read", now_msc=client.terminal.now_msc)
    for minute in range(-180, -60, 10):
        row(client, minute * MINUTE_MS, 3, 60_000.0 + minute)
    client.serve(lambda: client.welcomes == 2)
    assert (client.epoch or {})["offset_ms"] == 3 * HOUR_MS
    client.poll()
    client.serve(lambda: len(client.answers) == 2)
    leave(client)

    assert broker.captured() == 13
    assert not Incident.objects.filter(cause="EPOCH_UNREAD").exists()


@pytest.mark.usefixtures("short_doubt")
def test_a_symbol_that_was_quiet_before_its_last_tick_of_an_epoch_is_no_epoch_unread(broker: Desk) -> None:
    client = polled(broker, -40 * MINUTE_MS, polled_ms=-40 * MINUTE_MS + 100)
    row(client, -1_000, 3, 60_001.0)
    client.terminal.now_msc = AUTUMN_MSC - 900 + 3 * HOUR_MS
    client.poll()
    client.serve(lambda: len(client.answers) == 2)
    client.terminal.now_msc = AUTUMN_MSC + 50 + 3 * HOUR_MS

    leave(client)

    assert not Incident.objects.filter(cause="EPOCH_UNREAD").exists()


def test_a_frame_between_two_epochs_closes_the_connection(broker: Desk) -> None:
    client = broker.client(Terminal(["BTCUSD"]))
    row(client, -40 * MINUTE_MS, 3, 60_000.0)
    client.terminal.now_msc = AUTUMN_MSC - 30_000 + 3 * HOUR_MS
    client.hello(begins_msc=AUTUMN_MSC - 90 * MINUTE_MS, clock="NY+7", now_msc=AUTUMN_MSC - 30_000)
    client.terminal.condition = {"link": "LINK_LOST"}
    client.beat()
    client.say(type="epoch_read", now_msc=AUTUMN_MSC + 100 + 3 * HOUR_MS)

    reason = closing(client, client.poll)

    assert reason == (4000, "frame 1: the epoch was said to be read, and the next has no welcome yet")


def test_an_epoch_told_as_read_long_before_its_end_by_this_machines_clock_is_refused_for_now(
    broker: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, base_msc = clock.now_msc, clock.now_msc()
    monkeypatch.setattr(clock, "now_msc", lambda: AUTUMN_MSC - 2 * HOUR_MS + real() - base_msc)
    client = broker.client(Terminal(["BTCUSD"]))
    client.terminal.now_msc = AUTUMN_MSC + HOUR_MS
    client.hello(begins_msc=AUTUMN_MSC - 3 * HOUR_MS, clock="NY+7", now_msc=AUTUMN_MSC - 2 * HOUR_MS)

    reason = closing(client, lambda: client.say(type="epoch_read", now_msc=AUTUMN_MSC + 1 + 3 * HOUR_MS))

    assert reason == (1013, "epoch_read: by this machine's clock the epoch ends only at 2025-11-02T06:00:00.000Z")


def test_a_new_symbol_that_begins_after_the_switch_does_not_hold_its_source_up(broker: Desk) -> None:
    first = polled(broker, -40 * MINUTE_MS, polled_ms=-30 * MINUTE_MS)
    first.socket.close()
    assert wait_for(broker.is_left, within_s=10)
    client = broker.client(Terminal(["BTCUSD", "NEW"]))
    client.terminal.ticks[0] = first.terminal.ticks[0]
    client.terminal.now_msc = AUTUMN_MSC + 10 * MINUTE_MS + 3 * HOUR_MS
    client.hello(begins_msc=AUTUMN_MSC + 10 * MINUTE_MS, clock="NY+7", now_msc=AUTUMN_MSC + 10 * MINUTE_MS)
    unread = {"index": 1, "cursor": client.cursors[1], "rows": [], "error": [-4, "Terminal: Not found"]}
    client.send_frame(1, [unread])
    client.serve(lambda: len(client.answers) == 1)

    client.say(type="epoch_read", now_msc=client.terminal.now_msc)
    client.serve(lambda: client.welcomes == 2)

    assert Backfill.objects.filter(feed__symbol="NEW").count() == 0


@pytest.mark.parametrize("is_seen", [True, False])
def test_a_quiet_hour_before_the_switch_is_unsure_only_where_the_agent_has_not_seen_it(
    broker: Desk, is_seen: bool
) -> None:
    client = polled(broker, -80 * MINUTE_MS, polled_ms=-70 * MINUTE_MS)
    client.terminal.now_msc = AUTUMN_MSC + 3 * HOUR_MS

    seen = {"seen_msc": AUTUMN_MSC - 50 + 3 * HOUR_MS} if is_seen else {}
    client.say(type="epoch_read", now_msc=client.terminal.now_msc, **seen)
    client.serve(lambda: client.welcomes == 2)

    unsure = [(AUTUMN_MSC + 2 * HOUR_MS, AUTUMN_MSC + 2 * HOUR_MS + MINUTE_MS + 1)]
    assert list(UnsurePass.objects.values_list("from_msc", "to_msc")) == ([] if is_seen else unsure)


def test_rows_answered_long_after_the_question_are_told_apart_by_the_time_of_the_answer(broker: Desk) -> None:
    client = broker.client(Terminal(["BTCUSD"]))
    minutes = [*range(-90, 11)]
    for minute in range(-90, 0):
        row(client, minute * MINUTE_MS, 3, 60_000.0 + minute)
    client.terminal.now_msc = AUTUMN_MSC - 30_000 + 3 * HOUR_MS
    client.hello(begins_msc=AUTUMN_MSC - 90 * MINUTE_MS, clock="NY+7", now_msc=AUTUMN_MSC - 30_000)
    client.poll()
    client.serve(lambda: len(client.answers) == 1)

    client.say(type="epoch_read", now_msc=AUTUMN_MSC + 100 + 3 * HOUR_MS)
    # By the time that the terminal answers what is asked of the hour before, ten minutes of the second pass are shown.
    for minute in range(11):
        row(client, minute * MINUTE_MS, 2, 60_000.0 + minute)
    client.terminal.now_msc = AUTUMN_MSC + 10 * MINUTE_MS + 3 * HOUR_MS
    client.serve(lambda: client.welcomes == 2 and client.reads > 0)
    client.poll()
    client.finish()
    pipeline.drain()

    found = {int(t["time_msc"]): float(t["bid"]) for t in stored()}
    assert found == {AUTUMN_MSC + minute * MINUTE_MS: 60_000.0 + minute for minute in minutes}
    assert flagged(Flag.LATE) == []


def test_late_rows_of_the_old_epoch_are_captured_though_the_agent_was_away_from_within_the_new_one(
    broker: Desk,
) -> None:
    begins_msc = SPRING_MSC - 90 * MINUTE_MS
    client = broker.client(Terminal(["BTCUSD"]))
    row(client, -40 * MINUTE_MS, 2, 1.0, switch_msc=SPRING_MSC)
    client.terminal.now_msc = SPRING_MSC - 30_000 + 2 * HOUR_MS
    client.hello(begins_msc=begins_msc, clock="NY+7", now_msc=SPRING_MSC - 30_000)
    client.poll()
    client.serve(lambda: len(client.answers) == 1)
    client.terminal.now_msc = SPRING_MSC + 50 + 2 * HOUR_MS
    client.say(type="epoch_read", now_msc=client.terminal.now_msc)
    client.serve(lambda: client.welcomes == 2)
    row(client, MINUTE_MS, 3, 2.0, switch_msc=SPRING_MSC)
    client.terminal.now_msc = SPRING_MSC + 61_000 + 3 * HOUR_MS
    client.poll()
    client.serve(lambda: len(client.answers) == 2)
    client.socket.close()
    assert wait_for(broker.is_left, within_s=10)

    again = broker.client(Terminal(["BTCUSD"]))
    again.terminal.ticks = client.terminal.ticks
    for after_ms, hours in ((-20 * MINUTE_MS, 2), (-500, 2), (130 * MINUTE_MS, 3)):
        row(again, after_ms, hours, 3.0, switch_msc=SPRING_MSC)
    again.terminal.now_msc = SPRING_MSC + 131 * MINUTE_MS + 3 * HOUR_MS
    again.hello(begins_msc=begins_msc, clock="NY+7", now_msc=SPRING_MSC + 131 * MINUTE_MS)
    # The first frame comes before the bridge has looked at anything.
    again.poll()
    again.finish()
    pipeline.drain()

    minutes = [(int(t["time_msc"]) - SPRING_MSC) / MINUTE_MS for t in stored()]
    assert minutes == [-40, -20, -500 / MINUTE_MS, 1, 130]
