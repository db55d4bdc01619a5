"""The connection of each source by minute, and the incidents of an unstable or refused one."""

import datetime as dt

import pytest
from django.db import connection
from django_celery_beat.models import PeriodicTask

from ingest import connections, leases, queries
from ingest.connections import ConnectionLog
from ingest.models import ConnectionMinute, Lease
from ingest.sources.breaker import Circuit
from ingest.sources.terminal import Health, Link
from quality.models import Incident
from tests.capturing import make_rig
from tickhub import watching
from tickhub.audit.models import Entry
from tickhub.core import clock
from tickhub.core.clock import DAY_MS, HOUR_MS

pytestmark = pytest.mark.usefixtures("database")


def minute(source_id: int, **values: object) -> None:
    """A minute of the last hour; each call takes another one."""
    at = clock.now() - dt.timedelta(minutes=1 + ConnectionMinute.objects.count())
    facts = {"link": "CONNECTED", "circuit": "CLOSED"} | values
    ConnectionMinute.objects.create(source_id=source_id, minute_at=at, **facts)


def total(column: str) -> int:
    return sum(ConnectionMinute.objects.values_list(column, flat=True))


def test_time_is_added_in_the_state_of_the_note() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    log = ConnectionLog(source_id=source_id, name="hand")
    started_s = clock.monotonic_s()

    clock.sleep(0.02)
    log.note(Health(Link.CONNECTED), is_ok=True, answers=True)
    clock.sleep(0.02)
    log.note(Health(Link.LINK_LOST), is_ok=True, answers=True)
    clock.sleep(0.02)
    log.note(Health(Link.IPC_LOST, Circuit.OPEN, 7), is_ok=False, answers=False)
    clock.sleep(0.02)
    log.note(Health(Link.CONNECTED), is_ok=False, answers=False)
    log.write()

    passed_ms = (clock.monotonic_s() - started_s) * 1000
    times = [total(f"{column}_ms") for column in ("connected", "link_lost", "ipc_lost", "hung")]
    assert min(times[:2]) >= 19
    # A terminal that is connected and answers no read counts as lost too.
    assert times[2] >= 38
    assert times[3] == 0
    assert sum(times) <= passed_ms + 5
    assert (total("polls"), total("polls_ok")) == (4, 2)


def test_newest_state_of_breaker_and_link_stands_in_the_minute() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    log = ConnectionLog(source_id=source_id, name="hand")

    log.note(Health(Link.IPC_LOST, Circuit.OPEN, 7), is_ok=False, answers=False)
    log.write()

    newest = ConnectionMinute.objects.order_by("-minute_at")[0]
    assert (newest.link, newest.circuit, newest.failures) == ("IPC_LOST", "OPEN", 7)


def test_writing_again_adds_to_the_minute() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    log = ConnectionLog(source_id=source_id, name="hand")

    for _ in range(3):
        log.note(Health(), is_ok=True, answers=True)
        log.write()
    log.write()

    assert total("polls") == 3


def test_time_of_a_call_that_hung_is_told_apart() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    log = ConnectionLog(source_id=source_id, name="hand")

    log.note(Health(hung_s=7.0), is_ok=True, answers=True)
    log.write()

    assert (total("hung_ms"), total("connected_ms")) == (7_000, 0)


def test_what_the_database_refused_is_written_later() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    log = ConnectionLog(source_id=source_id, name="hand")
    log.note(Health(), is_ok=True, answers=True)

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ingest_connectionminute RENAME TO away")
    try:
        log.write()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO ingest_connectionminute")
    log.write()

    assert total("polls") == 1


def test_poller_that_ended_without_a_word_leaves_a_silence_of_a_day_at_most() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    log = ConnectionLog(source_id=source_id, name="hand")

    log.note_silence(from_msc=clock.now_msc() - 3 * DAY_MS)
    log.write()

    assert abs(total("hung_ms") - DAY_MS) < 1_000
    assert ConnectionMinute.objects.count() in (1_440, 1_441)


def test_lease_tells_since_when_its_last_holder_is_silent_and_nothing_after_a_release() -> None:
    rig = make_rig("EURUSD", ttl_ms=5_000)
    source_id = rig.poller.target.source_id
    expired_at = clock.now() - dt.timedelta(seconds=60)
    Lease.objects.update(expires_at=expired_at)

    after_silence = leases.acquire(source_id=source_id, holder="second", ttl_ms=5_000)
    leases.release(after_silence)
    after_release = leases.acquire(source_id=source_id, holder="third", ttl_ms=5_000)

    assert rig.poller.lease.silent_from_msc is None
    assert after_silence.silent_from_msc is not None
    assert abs(after_silence.silent_from_msc - (clock.from_datetime(expired_at) - 5_000)) <= 1
    assert (after_release.silent_from_msc, after_release.fence) == (None, 3)


def test_stability_is_the_share_of_the_observed_time() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    minute(source_id, connected_ms=54_000, polls=10, polls_ok=9, link="LINK_LOST")
    minute(source_id, connected_ms=60_000, ipc_lost_ms=2_000, link_lost_ms=3_000, hung_ms=1_000)
    ConnectionMinute.objects.create(
        source_id=source_id,
        minute_at=clock.now() - dt.timedelta(hours=2),
        ipc_lost_ms=60_000,
        link="IPC_LOST",
        circuit="OPEN",
    )

    (found,) = queries.stability(from_msc=clock.now_msc() - HOUR_MS)

    assert (found.name, found.observed_ms, found.ratio) == ("hand", 120_000, 0.95)
    assert (found.polls, found.polls_ok, found.link, found.circuit) == (10, 9, "LINK_LOST", "CLOSED")


def test_poller_that_is_silent_now_counts_as_hung() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    minute(source_id, connected_ms=60_000)
    Lease.objects.update(expires_at=clock.now() - dt.timedelta(seconds=60))

    (found,) = queries.stability(from_msc=clock.now_msc() - HOUR_MS)

    assert 60_000 <= found.hung_ms < 90_000


def test_connection_below_95_percent_is_a_warning_that_resolves_itself() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    minute(source_id, connected_ms=56_000, ipc_lost_ms=4_000)

    watching.watch()
    watching.watch()

    incident = Incident.objects.get(cause="CONNECTION_UNSTABLE")
    assert (incident.source_id, incident.severity, incident.state) == (source_id, "WARNING", "OPEN")
    assert (incident.evidence["name"], incident.evidence["ratio"], incident.evidence["ipc_lost_ms"]) == (
        "hand",
        0.9333,
        4_000,
    )
    minute(source_id, connected_ms=60_000)
    watching.watch()
    assert Incident.objects.get(cause="CONNECTION_UNSTABLE").state == "RESOLVED"


@pytest.mark.parametrize(("connected_ms", "lost_ms"), [(57_000, 3_000), (0, 59_999), (0, 0)])
def test_connection_at_95_percent_or_hardly_observed_is_none(connected_ms: int, lost_ms: int) -> None:
    minute(make_rig("EURUSD").poller.target.source_id, connected_ms=connected_ms, link_lost_ms=lost_ms)

    watching.watch()

    assert Incident.objects.count() == 0


def test_refused_account_is_an_incident_until_the_source_is_connected_again() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    log = ConnectionLog(source_id=source_id, name="hand")
    log.note(Health(Link.WRONG_ACCOUNT), is_ok=False, answers=True)
    log.write()

    watching.watch()
    log.note(Health(Link.CONNECTED), is_ok=True, answers=True)
    log.write()
    opened = Incident.objects.get(cause="WRONG_ACCOUNT").state
    watching.watch()

    assert (opened, Incident.objects.get(cause="WRONG_ACCOUNT").state) == ("OPEN", "RESOLVED")


def test_minutes_of_days_longer_ago_than_ninety_are_removed_day_by_day_with_an_entry_of_each() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    now = dt.datetime(2026, 3, 2, 0, 30, tzinfo=dt.UTC)
    kept = [dt.datetime(2025, 12, 2, tzinfo=dt.UTC), now]
    old = [
        dt.datetime(2025, 12, 1, 23, 59, tzinfo=dt.UTC),
        *(dt.datetime(2025, 11, 3, 8, n, tzinfo=dt.UTC) for n in (0, 1)),
    ]
    for at in [*old, *kept]:
        ConnectionMinute.objects.create(source_id=source_id, minute_at=at, link="CONNECTED", circuit="CLOSED")
    before_id = Entry.objects.order_by("-id").values_list("id", flat=True).first() or 0

    assert [connections.forget(now=now), connections.forget(now=now)] == [3, 0]

    assert list(ConnectionMinute.objects.order_by("minute_at").values_list("minute_at", flat=True)) == kept
    told = Entry.objects.filter(id__gt=before_id).order_by("id").values_list("action", "object", "details")
    assert list(told) == [
        ("RETENTION_BEGUN", "connection minutes of 2025-11-03", {"kept_days": 90}),
        ("RETENTION_DONE", "connection minutes of 2025-11-03", {"rows": 2}),
        ("RETENTION_BEGUN", "connection minutes of 2025-12-01", {"kept_days": 90}),
        ("RETENTION_DONE", "connection minutes of 2025-12-01", {"rows": 1}),
    ]
    assert PeriodicTask.objects.get(task="ingest.forget_connections").interval.every == 3600


def test_after_a_long_pause_one_run_removes_two_weeks() -> None:
    source_id = make_rig("EURUSD").poller.target.source_id
    now = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
    for day in range(20):
        at = now - dt.timedelta(days=300 + day)
        ConnectionMinute.objects.create(source_id=source_id, minute_at=at, link="CONNECTED", circuit="CLOSED")

    assert [connections.forget(now=now) for _ in range(3)] == [14, 6, 0]
