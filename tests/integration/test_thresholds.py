"""Thresholds in the database: they have a history and an author, reach the checks, and batches say which they were."""

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection, transaction
from django.test import Client

from ingest.models import Batch
from quality import queries, rules, thresholds
from quality.models import Threshold
from quality.rules import DEFAULTS, Thresholds
from tests import running
from tests.builders import make_ticks
from tests.capturing import make_rig
from tickhub import judging
from tickhub.audit.models import Entry
from tickhub.reference.models import Instrument

pytestmark = pytest.mark.usefixtures("database")


def put(
    name: str, value: int | None = None, *, effect: str = "SET", group: str = "", of: Instrument | None = None
) -> int:
    """Put a threshold in force and return its row's id."""
    threshold = Threshold(name=name, value=value, effect=effect, group=group, instrument=of, reason="a test")
    with transaction.atomic(durable=True):
        thresholds.append(threshold=threshold, actor="operator")
    return threshold.pk


def instrument(code: str = "EURUSD") -> Instrument:
    return Instrument.objects.get_or_create(code=code, defaults={"digits": 5})[0]


def in_force(of: Instrument) -> Thresholds:
    return queries.thresholds().thresholds(of.pk)


def test_without_rows_the_defaults_hold_as_version_0() -> None:
    version = queries.thresholds()

    assert (version.number, version.thresholds(1), version.thresholds(None)) == (0, DEFAULTS, DEFAULTS)


def test_an_instrument_s_own_threshold_goes_before_its_group_s_before_everybody_s() -> None:
    euro, pound = instrument(), instrument("GBPUSD")
    put("STUCK_MS", 1)
    assert (in_force(euro).stuck_ms, in_force(pound).stuck_ms) == (1, 1)

    put("GROUP", group="majors", of=euro)
    put("STUCK_MS", 2, group="majors")
    assert (in_force(euro).stuck_ms, in_force(pound).stuck_ms) == (2, 1)

    put("STUCK_MS", 0, of=euro)
    assert (in_force(euro).stuck_ms, in_force(pound).stuck_ms) == (0, 1)
    put("STUCK_MS", effect="WITHDRAWN", of=euro)
    assert in_force(euro).stuck_ms == 2
    put("GROUP", effect="WITHDRAWN", group="majors", of=euro)
    assert in_force(euro).stuck_ms == 1
    put("STUCK_MS", effect="OFF", of=euro)
    assert in_force(euro).stuck_ms is None


def test_an_earlier_version_is_what_it_was() -> None:
    euro = instrument()
    first = put("SPREAD_FACTOR", 3)
    put("SPREAD_FACTOR", 4)

    earlier = queries.thresholds(up_to=first)

    assert (earlier.number, earlier.thresholds(euro.pk).spread_factor, in_force(euro).spread_factor) == (first, 3, 4)


def test_each_threshold_is_in_the_ledger_with_who_and_why() -> None:
    pk = put("BAND_LOW_POINTS", 100, of=instrument())

    entry = Entry.objects.get()
    assert (entry.actor, entry.action, entry.object) == ("operator", "THRESHOLD_SET", "BAND_LOW_POINTS of EURUSD")
    assert entry.details == {"threshold": pk, "effect": "SET", "value": 100, "group": "", "reason": "a test"}


@pytest.mark.parametrize("statement", ["UPDATE quality_threshold SET value = 1", "DELETE FROM quality_threshold"])
def test_history_cannot_be_changed(statement: str) -> None:
    put("STUCK_MS", 0)

    with (
        pytest.raises(DatabaseError, match="thresholds only grow"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


@pytest.mark.parametrize(
    ("name", "value", "more", "reason"),
    [
        ("REVERT_PERCENT", 101, {}, "REVERT_PERCENT: 101 is not from 0 to 100"),
        ("GRID_POINTS", 0, {}, "GRID_POINTS: 0 is not from 1 to 1000000000"),
        ("STUCK_MS", None, {}, "a value belongs to SET"),
        ("STUCK_MS", 1, {"effect": "OFF"}, "a value belongs to SET"),
        ("WIDTH", 1, {}, "WIDTH: is not known"),
        ("GROUP", None, {"group": "majors"}, "needs the instrument"),
    ],
)
def test_what_no_check_could_go_by_is_refused(name: str, value: int | None, more: dict[str, str], reason: str) -> None:
    with pytest.raises(thresholds.ThresholdRefused, match=reason):
        put(name, value, **more)  # type: ignore[arg-type]  # as given

    assert (Threshold.objects.count(), Entry.objects.count()) == (0, 0)


def test_workers_judge_by_the_thresholds_in_force_and_each_part_says_by_which() -> None:
    rig = make_rig("EURUSD")
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2)])
    rig.source.now_msc += 10
    rig.poller.poll()
    running.drain()
    version = put("BAND_HIGH_POINTS", 115_000, of=Instrument.objects.get())
    judging.forget()
    rig.terminal.history["EURUSD"] = make_ticks([(0, 1.1, 1.2), (20, 1.1, 1.2)])
    rig.source.now_msc += 100
    rig.poller.poll()
    running.drain()

    outcomes = [batch.outcome[0] for batch in Batch.objects.order_by("pk") if batch.outcome]

    assert [(part["judged"], part["flagged"]) for part in outcomes] == [
        ([rules.REVISION, 0, 5, 1, 0], 0),
        ([rules.REVISION, version, 5, 1, 0], 1),
    ]


def test_the_admin_puts_a_threshold_in_force_and_refuses_one_out_of_bounds() -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("operator", password="night shift"))
    form = {"name": "STUCK_MS", "effect": "SET", "group": "", "instrument": "", "reason": "a slow market"}

    refused = client.post("/admin/quality/threshold/add/", form | {"value": -1})
    accepted = client.post("/admin/quality/threshold/add/", form | {"value": 0})

    assert b"STUCK_MS: -1 is not from 0 to 86400000" in refused.content
    assert accepted.status_code == 302
    threshold = Threshold.objects.get()
    assert (threshold.value, threshold.actor, threshold.reason) == (0, "operator", "a slow market")
    assert client.post(f"/admin/quality/threshold/{threshold.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Entry.objects.get().actor == "operator"
