"""The quarantine in the admin: found, looked at among its neighbours, decided on with a reason by those who may."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from ingest.models import Batch
from quality.models import Finding, Incident, QuarantinedTick
from tests import running
from tests.builders import NOON_MSC
from tests.integration.test_quarantine import hold
from tests.piping import NAN, quotes, stored
from tickhub.audit.models import Entry

pytestmark = pytest.mark.usefixtures("database")

LIST = "/admin/quality/quarantinedtick/"


def user_with(*permissions: str) -> Client:
    user = get_user_model().objects.create(username="watcher", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def operator() -> Client:
    user = get_user_model().objects.create(username="operator", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(user)
    return client


def decide(client: Client, action: str, *row_ids: int, **more: str) -> str:
    """Post an action on ticks; return the page that follows."""
    response = client.post(LIST, {"action": action, "_selected_action": list(row_ids), **more}, follow=True)
    return response.content.decode()


def test_a_release_asks_for_its_reason_first_and_is_made_with_one(operator: Client) -> None:
    rig = hold((0, 1.1, 1.2), (5, -1.1, 1.2))
    row = QuarantinedTick.objects.get()

    page = decide(operator, "release", row.pk)
    assert "Release 1 quarantined tick" in page
    assert '<textarea id="reason" name="reason"' in page
    assert QuarantinedTick.objects.get().state == "HELD"

    assert "a reason is required" in decide(operator, "release", row.pk, reason=" ")
    assert "Release: 1 of 1 ticks done." in decide(operator, "release", row.pk, reason="seen elsewhere")
    assert quotes(stored(rig)) == [(0, 1.1, 1.2), (5, -1.1, 1.2)]
    assert Entry.objects.get(action="TICKS_RELEASED").actor == "operator"


def test_what_cannot_be_done_is_told_line_by_line(operator: Client) -> None:
    hold((0, 1.1, 1.2), (5, -1.1, 1.2))
    row = QuarantinedTick.objects.get()
    decide(operator, "reject", row.pk, reason="a typing error")

    page = decide(operator, "release", row.pk, reason="after all")

    assert "Release: 0 of 1 ticks done." in page
    assert f"T{str(row)[1:]}: it was rejected; reopen it first" in page


def test_who_may_look_but_not_release_is_given_no_decision_and_makes_none() -> None:
    hold((0, 1.1, 1.2), (5, -1.1, 1.2))
    row = QuarantinedTick.objects.get()
    client = user_with("view_quarantinedtick")

    assert 'value="release"' not in client.get(LIST).content.decode()
    assert 'value="release"' not in client.get(f"{LIST}{row.pk}/change/").content.decode()
    decide(client, "release", row.pk, reason="I may not")

    assert QuarantinedTick.objects.get().state == "HELD"


def test_who_has_the_permission_releases_without_being_a_superuser() -> None:
    hold((0, 1.1, 1.2), (5, -1.1, 1.2))
    row = QuarantinedTick.objects.get()
    client = user_with("view_quarantinedtick", "release_quarantinedtick")

    decide(client, "release", row.pk, reason="I may")

    assert QuarantinedTick.objects.values_list("state", "decided_by").get() == ("RELEASED", "watcher")


def test_the_page_of_a_tick_shows_its_reasons_its_neighbours_and_a_chart(operator: Client) -> None:
    hold((0, 1.1, 1.2), (5, -1.25, 1.2), (9, 1.1, 1.3))
    row = QuarantinedTick.objects.get()

    page = operator.get(f"{LIST}{row.pk}/change/").content.decode()

    assert "a price is below zero, which this instrument does not have" in page
    assert [time in page for time in ("12:00:00.000Z", "12:00:00.005Z", "12:00:00.009Z")] == [True] * 3
    assert "<svg" in page
    assert "bid -1.25 at 2026-03-02T12:00:00.005Z" in page


def test_the_list_is_filtered(operator: Client) -> None:
    hold((0, 1.1, 1.2), (5, -1.1, 1.2), (6, NAN, 1.2))
    expected = {
        "reason=NEGATIVE": 1,
        "reason=NOT_FINITE": 1,
        "reason=UNSTORABLE": 0,
        "reason=NEGATIVE&state__exact=RELEASED": 0,
        "state__exact=HELD": 2,
        "held_at__gte=2100-01-01T00:00:00Z": 0,
        "batch_id=4711": 0,
        f"q={NOON_MSC + 5}": 1,
    }

    pages = {query: operator.get(f"{LIST}?{query}").content.decode() for query in expected}

    assert {query: page.count('class="field-time') for query, page in pages.items()} == expected


def test_links_lead_from_an_incident_to_its_findings_batch_and_held_tick(operator: Client) -> None:
    rig = hold((0, 1.1, 1.2), (5, -1.1, 1.2))
    running.keep()
    incident, finding, batch = Incident.objects.get(), Finding.objects.get(), Batch.objects.get()
    row, feed = QuarantinedTick.objects.get(), rig.feeds["EURUSD"].pk
    ticks = f"/admin/ticks/?feed={feed}&amp;time_msc={NOON_MSC + 5}&amp;seq=0"

    links = {
        f"/admin/quality/incident/{incident.pk}/change/": [
            f"/admin/quality/finding/?incident__id__exact={incident.pk}",
            ticks,
        ],
        f"/admin/quality/finding/{finding.pk}/change/": [
            f"/admin/ingest/batch/{batch.pk}/change/",
            f"{LIST}?batch_id={batch.pk}",
            ticks,
        ],
        f"/admin/ingest/batch/{batch.pk}/change/": [
            f"{LIST}?batch_id={batch.pk}",
            ticks.replace(f"{NOON_MSC + 5}", f"{NOON_MSC}"),
        ],
        ticks.replace("&amp;", "&"): [f"{LIST}{row.pk}/change/", f"/admin/ingest/batch/{batch.pk}/change/"],
    }
    for address, expected in links.items():
        page = operator.get(address).content.decode()
        assert [link for link in expected if link not in page] == [], address
        for link in expected:
            assert operator.get(link.replace("&amp;", "&")).status_code == 200, link


def test_the_ticks_page_shows_twenty_on_each_side_in_key_order(operator: Client) -> None:
    rig = hold(*((n, 1.1 + n / 1000, 1.3) for n in range(60)), (30, -1.1, 1.2))
    feed = rig.feeds["EURUSD"].pk

    page = operator.get(f"/admin/ticks/?feed={feed}&time_msc={NOON_MSC + 30}&seq=1").content.decode()

    shown = [int(text[:3]) for text in page.split("<td>2026-03-02T12:00:00.")[1:]]
    assert shown == [*range(11, 31), 30, *range(31, 52)]


def test_a_key_that_is_none_is_told_in_one_line(operator: Client) -> None:
    response = operator.get("/admin/ticks/?feed=1&time_msc=later")

    assert response.status_code == 400
    assert "time_msc=later: expected UTC milliseconds since 1970, or ISO 8601" in response.content.decode()


def test_the_list_of_audit_entries_tells_the_reason_of_a_decision_on_many_ticks(operator: Client) -> None:
    hold((0, 1.1, 1.2), *((n, -1.1, 1.2) for n in range(1, 20)))
    decide(operator, "release", *QuarantinedTick.objects.values_list("pk", flat=True), reason="seen elsewhere")

    page = operator.get("/admin/audit/entry/?action=TICKS_RELEASED").content.decode()

    assert "seen elsewhere" in page
    assert page.count("time_msc") < 5


def test_the_ticks_page_is_for_those_who_may_see_the_quarantine() -> None:
    assert user_with("view_batch").get("/admin/ticks/?feed=1&time_msc=1").status_code == 403
    assert Client().get("/admin/ticks/?feed=1&time_msc=1").status_code == 302
