"""Capture on the real database: cursors, tails, leases, and nothing lost or taken twice."""

import numpy as np
import pytest
from django.db import connection

from ingest import cursors, leases, queries
from ingest.models import Batch, Cursor
from ingest.target import Options
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Ticks

pytestmark = pytest.mark.usefixtures("database")


def captured(rig: Rig, symbol: str = "EURUSD") -> Ticks:
    """Everything captured of a symbol, by key."""
    found = queries.captured_between(source_id=rig.poller.target.source_id, from_msc=0, to_msc=1 << 60)
    feed_id = rig.feeds[symbol].pk
    return found[feed_id].ticks if feed_id in found else tick_arrays.empty()


def seqs(rig: Rig, symbol: str = "EURUSD") -> list[int]:
    """The seq of everything captured, by key."""
    found = queries.captured_between(source_id=rig.poller.target.source_id, from_msc=0, to_msc=1 << 60)
    return [int(seq) for seq in found[rig.feeds[symbol].pk].seq]


def test_one_poll_of_two_symbols_is_one_batch_with_both_cursors() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    rig.terminal.history = {
        "EURUSD": make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.3)]),
        "GBPUSD": make_ticks([(7, 1.5, 1.6)]),
    }

    rig.source.now_msc += 10

    assert rig.poller.poll() == 3

    batch = Batch.objects.get()
    assert rig.published == [batch.pk]
    assert [part["count"] for part in batch.parts] == [2, 1]
    positions = cursors.load(source_id=rig.poller.target.source_id)
    assert {(p.last_msc - NOON_MSC, p.taken) for p in positions.values()} == {(5, 1), (7, 1)}


def test_a_poll_that_finds_nothing_new_saves_no_batch() -> None:
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2)])
    rig.poller.poll()

    assert rig.poller.poll() == 0
    assert Batch.objects.count() == 1


def test_a_tick_of_the_cursors_own_millisecond_is_captured_with_the_next_seq() -> None:
    rig = make_rig("EURUSD")
    rows = [(3, 1.1, 1.2), (3, 1.1, 1.2), (3, 1.1, 1.3)]
    rig.terminal.history["EURUSD"] = make_ticks(rows[:1])
    rig.poller.poll()
    rig.terminal.history["EURUSD"] = make_ticks(rows)

    assert rig.poller.poll() == 2
    assert seqs(rig) == [0, 1, 2]


def test_a_late_row_is_captured_by_the_settle_pass_and_flagged() -> None:
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2), (5000, 1.1, 1.3)])
    rig.source.now_msc = NOON_MSC + 5000
    rig.poller.poll()
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2), (0, 7.7, 7.8), (5000, 1.1, 1.3)])

    rig.source.now_msc += 999
    assert rig.poller.poll() == 0
    rig.source.now_msc += 1
    assert rig.poller.poll() == 1

    assert seqs(rig) == [0, 1, 0]
    with connection.cursor() as cursor:
        cursor.execute("SELECT marks FROM batch_payload ORDER BY batch_id DESC LIMIT 1")
        assert bytes(cursor.fetchone()[0]) == b"\x01\x80"


def test_a_row_half_an_hour_late_is_captured_by_the_pass_over_the_last_hour() -> None:
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2), (1_800_000, 1.1, 1.3)])
    rig.source.now_msc = NOON_MSC + 1_800_000
    rig.poller.poll()
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2), (0, 7.7, 7.8), (1_800_000, 1.1, 1.3)])
    rig.poller.poll()

    assert rig.poller.settler.run(rig.poller.states, now_msc=rig.source.now_msc) == 1
    assert rig.poller.settler.run(rig.poller.states, now_msc=rig.source.now_msc) == 0
    assert seqs(rig) == [0, 1, 0]


def test_a_page_smaller_than_one_second_is_doubled_until_the_second_is_passed() -> None:
    rig = make_rig("EURUSD", options=Options(page_ticks=4))
    rows = [(i, 1.1, 1.2 + i / 100_000) for i in range(50)]
    rig.terminal.history["EURUSD"] = make_ticks([*rows, (2000, 1.5, 1.6)])

    while rig.poller.poll():
        pass

    assert tick_arrays.same(captured(rig), make_ticks([*rows, (2000, 1.5, 1.6)]))


def test_a_poll_of_more_than_a_batch_holds_is_several_batches_cut_in_order() -> None:
    rig = make_rig("EURUSD", "GBPUSD", options=Options(page_ticks=80_000))
    many = np.repeat(make_ticks([(0, 1.1, 1.2)]), 70_000)
    many = many.copy()
    many["time_msc"] += np.arange(70_000)
    many["time"] = many["time_msc"] // 1000
    rig.terminal.history = {"EURUSD": many, "GBPUSD": make_ticks([(1, 1.5, 1.6)])}

    assert rig.poller.poll() == 70_001

    assert list(Batch.objects.order_by("pk").values_list("tick_count", flat=True)) == [65_536, 4_465]
    assert tick_arrays.same(captured(rig), many)
    assert rig.poller.poll() == 0


def test_a_failed_read_leaves_its_cursor_and_commits_the_others() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    rig.terminal.history = {"EURUSD": make_ticks([(0, 1.1, 1.2)]), "GBPUSD": make_ticks([(0, 1.5, 1.6)])}
    rig.terminal.fails = {"GBPUSD"}

    assert rig.poller.poll() == 1
    assert rig.poller.poll() == 0

    batch = Batch.objects.get()
    assert [(part["count"], part["error"]) for part in batch.parts] == [(1, None), (0, [-4, "Terminal: Not found"])]
    assert Cursor.objects.count() == 1
    rig.terminal.fails = set()
    assert rig.poller.poll() == 1


def test_rows_that_the_terminal_takes_back_are_told_once() -> None:
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2), (1, 1.1, 1.3)])
    rig.poller.poll()
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2)])

    rig.poller.poll()
    rig.poller.poll()

    assert [part["missing"] for batch in Batch.objects.order_by("pk") for part in batch.parts] == [0, 1]


def test_a_poller_that_starts_anew_takes_nothing_twice() -> None:
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2), (0, 1.1, 1.2), (900, 1.1, 1.3)])
    rig.poller.poll()

    rig.poller.load()

    assert rig.poller.poll() == 0
    assert len(captured(rig)) == 3


def test_the_context_of_a_part_is_the_last_64_ticks_before_it_also_after_a_restart() -> None:
    rig = make_rig("EURUSD")
    rows = [(i * 10, 1.1, 1.2 + i / 100_000) for i in range(100)]
    rig.terminal.history["EURUSD"] = make_ticks(rows[:90])
    rig.poller.poll()
    rig.poller.load()
    rig.terminal.history["EURUSD"] = make_ticks(rows)
    rig.poller.poll()

    with connection.cursor() as cursor:
        cursor.execute("SELECT context FROM batch_payload ORDER BY batch_id DESC LIMIT 1")
        context = tick_arrays.from_bytes(bytes(cursor.fetchone()[0]))
    assert tick_arrays.same(context, make_ticks(rows)[26:90])


def test_a_poller_whose_lease_was_taken_over_commits_nothing() -> None:
    rig = make_rig("EURUSD", ttl_ms=0)
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2)])
    leases.acquire(source_id=rig.poller.target.source_id, holder="another", ttl_ms=60_000)

    with pytest.raises(leases.LeaseLost):
        rig.poller.poll()

    assert Batch.objects.count() == 0
    assert Cursor.objects.count() == 0


def test_a_lease_that_has_not_expired_is_not_given_away() -> None:
    rig = make_rig("EURUSD")

    with pytest.raises(leases.LeaseHeld, match="held by test"):
        leases.acquire(source_id=rig.poller.target.source_id, holder="another", ttl_ms=60_000)


def test_a_cursor_moved_by_another_rolls_the_whole_batch_back() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    rig.terminal.history = {"EURUSD": make_ticks([(0, 1.1, 1.2)]), "GBPUSD": make_ticks([(0, 1.5, 1.6)])}
    rig.poller.poll()
    Cursor.objects.filter(feed=rig.feeds["GBPUSD"]).update(version=99)
    rig.terminal.history = {
        "EURUSD": make_ticks([(0, 1.1, 1.2), (9, 1.1, 1.2)]),
        "GBPUSD": make_ticks([(0, 1.5, 1.6), (9, 1.5, 1.6)]),
    }

    with pytest.raises(cursors.CursorMoved, match="cursors: 1 rows touched, expected 2"):
        rig.poller.poll()

    assert Batch.objects.count() == 1


def test_a_feed_of_another_clock_is_captured_in_the_terminals_time() -> None:
    three_hours = 3 * 3_600_000
    rig = make_rig("EURUSD", offset_ms=three_hours)
    rows = make_ticks([(0, 1.1, 1.2)], start_msc=NOON_MSC + three_hours)
    rig.terminal.history["EURUSD"] = rows

    rig.poller.poll()

    batch = Batch.objects.get()
    assert (batch.first_msc, batch.poll_msc) == (NOON_MSC, NOON_MSC)
    assert list(batch.parts[0]["hours"]) == [str(NOON_MSC // 3_600_000)]
    assert tick_arrays.same(captured(rig), rows)


def test_rows_before_the_begin_of_a_feed_are_not_captured() -> None:
    rig = make_rig("EURUSD")
    rig.poller.states[0].begins_msc = NOON_MSC + 5
    rig.terminal.history["EURUSD"] = make_ticks([(4, 1.1, 1.2), (5, 1.1, 1.3)])

    assert rig.poller.poll() == 1
    assert rig.poller.poll() == 0


def test_a_tick_from_the_future_does_not_carry_the_cursor_along() -> None:
    rig = make_rig("EURUSD")
    century_ms = 100 * 365 * 86_400_000
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2), (century_ms, 1.1, 1.3)])
    assert rig.poller.poll() == 2
    rig.poller.load()
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2), (900, 1.1, 1.4), (century_ms, 1.1, 1.3)])
    rig.source.now_msc += 1000

    assert rig.poller.poll() == 1
    assert rig.poller.poll() == 0
    assert Cursor.objects.get().last_msc == NOON_MSC + 900


# Before a feed's first tick, and between two ticks of one millisecond.
@pytest.mark.parametrize("captured_before", [0, 2])
def test_a_clock_set_back_leaves_a_cursor_that_counts_what_the_inbox_holds(captured_before: int) -> None:
    rig = make_rig("EURUSD")
    shown = make_ticks([(0, 1.1, 1.2), (0, 1.1, 1.2), (0, 1.1, 1.3), (7, 1.1, 1.4)])
    rig.terminal.history = {"EURUSD": shown[:captured_before]}
    rig.source.now_msc += 1
    rig.poller.poll()

    rig.terminal.history = {"EURUSD": shown}
    rig.source.now_msc -= 60_000
    rig.poller.poll()
    # As after an error, or by another poller: a count that differs ends capture for good.
    rig.poller.load()
    rig.source.now_msc += 120_000
    rig.poller.poll()

    assert captured(rig).tolist() == shown.tolist()


def test_a_feed_whose_only_tick_is_from_the_future_takes_it_once() -> None:
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(60_000, 1.1, 1.2)])
    assert rig.poller.poll() == 1

    rig.poller.load()

    assert rig.poller.poll() == 0
