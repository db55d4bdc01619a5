"""Certificates of real captures: made once, linked, revised when an hour changes, and verified without the database."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import DatabaseError, connection
from django.test import Client
from pytest_django import Settings

from ingest import leases
from quality import certificates, rules
from quality.models import Certificate, Gap, Incident
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import Rig, make_rig
from tests.piping import NAN, capture
from tickhub import certifying, examining, exporting, tasks
from tickhub.certificates import keys
from tickhub.core.clock import HOUR_MS
from tickhub.management.periods import EVER
from tickhub.reference import queries as reference

pytestmark = pytest.mark.usefixtures("database")

NOON_HOUR = NOON_MSC // HOUR_MS


@pytest.fixture(autouse=True)
def key(settings: Settings) -> None:
    settings.CERTIFICATE_KEY = keys.generate()


def captured(*at_ms: int) -> Rig:
    """Ticks so long after noon, captured and stored."""
    rig = make_rig("EURUSD")
    capture(rig, make_ticks([(at, 1.1, 1.2) for at in at_ms]))
    running.drain()
    return rig


def appears_late(rig: Rig, at_ms: int) -> None:
    """One more tick so long after noon, behind newer ones."""
    shown = np.concatenate([rig.terminal.history["EURUSD"], make_ticks([(at_ms, 1.05, 1.2)])])
    rig.terminal.history["EURUSD"] = np.sort(shown, order="time_msc")
    rig.source.now_msc += 1000
    assert rig.poller.poll() == 1
    running.drain()


def prove(rig: Rig, until_ms: int) -> None:
    """Record that passes over the past have found nothing more up to a time after noon."""
    leases.cover(rig.poller.lease, NOON_MSC + until_ms)


def issue(**options: Any) -> int:  # Any: as the service takes them
    return certifying.issue(tell=lambda _: None, **options)


def bodies() -> list[dict[str, Any]]:  # Any: JSON
    return [json.loads(row.document)["certificate"] for row in Certificate.objects.order_by("number")]


def test_each_whole_hour_that_is_proven_gets_one_certificate_and_only_one() -> None:
    rig = captured(0, 1, 2 * HOUR_MS + 5, 3 * HOUR_MS)
    prove(rig, 3 * HOUR_MS)

    assert (issue(), issue()) == (3, 0)
    found = bodies()
    assert [(b["from_msc"] - NOON_MSC) // HOUR_MS for b in found] == [0, 1, 2]
    assert [b["stations"]["table"][0] for b in found] == [2, 0, 1]
    assert [b["is_whole"] for b in found] == [True, True, True]


def test_feeds_of_one_source_have_chains_of_their_own() -> None:
    rig = make_rig("EURUSD", "GBPUSD")
    for symbol in rig.feeds:
        rig.terminal.history[symbol] = make_ticks([(0, 1.1, 1.2), (HOUR_MS, 1.1, 1.2)])
    rig.source.now_msc = NOON_MSC + HOUR_MS
    rig.poller.poll()
    running.drain()
    prove(rig, HOUR_MS)

    assert (issue(), issue()) == (2, 0)

    assert sorted((b["symbol"], b["number"], b["stations"]["captured"][0]) for b in bodies()) == [
        ("EURUSD", 1, 1),
        ("GBPUSD", 1, 1),
    ]


def test_the_hour_under_way_and_what_no_pass_has_proven_wait() -> None:
    rig = captured(0, HOUR_MS + 5, 2 * HOUR_MS + 5)
    prove(rig, HOUR_MS)

    assert issue() == 1
    assert [b["to_msc"] for b in bodies()] == [NOON_MSC + HOUR_MS]


def test_an_hour_that_no_pass_proves_for_long_is_certified_as_not_whole_and_again_once_it_is_proven() -> None:
    rig = captured(0, 4 * HOUR_MS + 1)

    assert issue() == 1
    prove(rig, HOUR_MS)
    assert issue() == 1

    first, second = bodies()
    assert (first["is_whole"], first["reasons"]) == (False, ["no pass over the source's past has proven it yet"])
    assert (second["is_whole"], second["revision"], second["replaces"]) == (True, 2, 1)


def test_a_tick_that_comes_late_gives_its_hour_a_further_revision_and_no_other_hour() -> None:
    rig = captured(0, HOUR_MS + 1, 2 * HOUR_MS)
    prove(rig, 2 * HOUR_MS)
    issue()

    appears_late(rig, 7)
    assert issue() == 1

    found = bodies()
    assert [(b["number"], b["from_msc"] - NOON_MSC, b["revision"]) for b in found] == [
        (1, 0, 1),
        (2, HOUR_MS, 1),
        (3, 0, 2),
    ]
    assert [b["stations"]["captured"][0] for b in found] == [1, 1, 2]


def test_what_a_late_batch_adds_to_an_hour_of_the_week_before_is_found() -> None:
    days = 40 * 24 * HOUR_MS
    rig = captured(0, HOUR_MS, days, days + HOUR_MS)
    prove(rig, days + HOUR_MS)
    while issue():
        pass
    before = Certificate.objects.count()

    appears_late(rig, 9)
    assert issue() == 1
    assert Certificate.objects.count() == before + 1
    assert bodies()[-1]["from_msc"] == NOON_MSC


def test_a_held_tick_is_counted_as_quarantined_and_the_hour_is_whole() -> None:
    rig = captured(0)
    capture(rig, make_ticks([(0, 1.1, 1.2), (5, NAN, 1.2), (HOUR_MS, 1.1, 1.2)]))
    running.drain()
    prove(rig, HOUR_MS)

    assert issue() == 1
    (found,) = bodies()
    assert (found["stations"]["quarantined"][0], found["stations"]["quarantine"][0]) == (1, 1)
    assert found["is_whole"]


def test_a_row_that_is_gone_from_the_table_makes_its_hour_not_whole() -> None:
    rig = captured(0, 5, HOUR_MS)
    prove(rig, HOUR_MS)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tick WHERE time_msc = %s", [NOON_MSC + 5])

    issue()

    (found,) = bodies()
    assert found["reasons"] == ["recorded as stored, and the tick table differ: 2 and 1 ticks"]


def test_hours_of_waiting_batches_are_not_due() -> None:
    rig = make_rig("EURUSD")
    capture(rig, make_ticks([(0, 1.1, 1.2), (HOUR_MS, 1.1, 1.2)]))
    prove(rig, HOUR_MS)

    assert issue() == 0
    running.drain()
    assert issue() == 1


def test_flags_are_counted_of_the_stored_ticks() -> None:
    rig = make_rig("EURUSD")
    capture(rig, make_ticks([(0, 1.3, 1.2), (5, 1.1, 1.2), (9, 1.3, 1.2), (HOUR_MS, 1.1, 1.2)]))
    running.drain()
    prove(rig, HOUR_MS)

    issue()

    assert bodies()[0]["flags"]["CROSSED"] == 2


def test_a_stretch_that_is_missing_makes_its_hour_not_whole_until_it_is_filled() -> None:
    rig = captured(0, HOUR_MS)
    prove(rig, HOUR_MS)
    examining.examine()
    missing = Gap.objects.create(
        feed=rig.feeds["EURUSD"],
        from_msc=NOON_MSC + 60_000,
        to_msc=NOON_MSC + 180_000,
        kind="STALLED",
        cause="cut",
    )

    assert (issue(), issue()) == (1, 0)
    Gap.objects.filter(pk=missing.pk).update(state="FILLED")
    assert issue() == 1

    assert [b["reasons"] for b in bodies()] == [["120 s STALLED: cut"], []]
    assert [b["is_whole"] for b in bodies()] == [False, True]


def test_a_certificate_says_what_its_ticks_were_judged_by() -> None:
    rig = captured(0, HOUR_MS)
    prove(rig, HOUR_MS)

    issue()

    # The checks' revision, no threshold set, five digits, quoted, no negative prices.
    assert bodies()[0]["judged_by"] == [[rules.REVISION, 0, 5, 1, 0]]


def test_nothing_of_a_certificate_can_be_changed_in_the_database() -> None:
    rig = captured(0, HOUR_MS)
    prove(rig, HOUR_MS)
    issue()

    for statement in ("UPDATE quality_certificate SET is_whole = true", "DELETE FROM quality_certificate"):
        with connection.cursor() as cursor, pytest.raises(DatabaseError, match="certificates are only added"):
            cursor.execute(statement)


def test_a_program_without_django_verifies_the_chain_and_the_ticks_of_an_export(tmp_path: Path) -> None:
    rig = captured(0, 1, HOUR_MS + 5, 2 * HOUR_MS)
    prove(rig, 2 * HOUR_MS)
    issue()
    appears_late(rig, 7)
    assert issue() == 1
    series = certificates.of_period(feed_id=rig.feeds["EURUSD"].pk, from_msc=EVER[0], to_msc=EVER[1])
    (tmp_path / "chain").write_text("".join(f"{text}\n" for text in series.documents))
    feed = reference.one_feed(symbol="EURUSD", source=None)
    exporting.export(feed=feed, from_msc=EVER[0], to_msc=EVER[1], with_quarantined=False, out=tmp_path / "x.npz")
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['django', 'psycopg', 'redis', 'celery']));"
        " from tickhub import verify; sys.exit(verify.main(sys.argv[1:]))"
    )
    arguments = [str(tmp_path / "chain"), "--ticks", str(tmp_path / "x.npz"), "--require-whole"]

    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": "."},
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "3 of 3 hold, and the file holds the ticks that those in force count" in done.stdout


def test_without_a_key_no_certificate_is_made_and_an_incident_says_so(settings: Settings) -> None:
    rig = captured(0, HOUR_MS)
    prove(rig, HOUR_MS)
    signing, settings.CERTIFICATE_KEY = settings.CERTIFICATE_KEY, None

    tasks.certify()
    told = Incident.objects.get(cause="CERTIFICATES_UNSIGNED")
    settings.CERTIFICATE_KEY = signing
    tasks.certify()

    assert "TICKHUB_CERTIFICATE_KEY" in told.evidence["error"]
    assert Incident.objects.get(cause="CERTIFICATES_UNSIGNED").state == Incident.State.RESOLVED
    assert Certificate.objects.count() == 1


def test_the_api_lists_certificates_and_answers_them_byte_for_byte() -> None:
    rig = captured(0, HOUR_MS + 1, 2 * HOUR_MS)
    prove(rig, 2 * HOUR_MS)
    issue()
    client, address = Client(), "/api/v1/quality/certificates/"

    listed = client.get(f"{address}?instrument=EURUSD&start={NOON_MSC + HOUR_MS}").json()
    (row,) = listed["certificates"]
    document = client.get(f"{address}{row['id']}/")
    lines = client.get(address, {"instrument": "EURUSD", "form": "documents"}).content.decode().splitlines()

    assert (row["number"], row["symbol"], row["is_whole"], listed["next"]) == (2, "EURUSD", True, None)
    assert document.content.decode() == lines[1] == Certificate.objects.get(number=2).document


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("instrument=XAUUSD", 404, "no feed of instrument XAUUSD at source any"),
        ("start=yesterday", 400, "start=yesterday: expected ISO 8601"),
        ("start=2026-03-02&end=2026-03-02", 400, "start 2026-03-02 is not before end 2026-03-02"),
        ("after=x", 400, "after=x: expected a whole number"),
        ("after=99999999999999999999", 400, "after=99999999999999999999: expected a whole number"),
    ],
)
def test_a_question_that_cannot_be_answered_is_told_in_one_line(query: str, status: int, detail: str) -> None:
    make_rig("EURUSD")

    answer = Client().get(f"/api/v1/quality/certificates/?{query}")

    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail)
