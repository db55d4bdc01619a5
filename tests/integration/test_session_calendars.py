"""Sessions on the real database: given at registration, judged by, changed by operators, judged anew."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client

from ingest.models import Batch
from quality.models import Finding, QuarantinedTick
from storage import reader
from tests import running
from tests.builders import make_ticks
from tests.capturing import make_rig
from tests.piping import capture
from tickhub import pipeline
from tickhub.audit.models import Entry
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS
from tickhub.core.flags import Flag
from tickhub.core.symbols import SIM_SERVER
from tickhub.reference.models import Feed, Instrument, SessionCalendar, Source

pytestmark = pytest.mark.usefixtures("database")

# Friday 6 March 2026, 17:00 in New York.
CLOSE_MSC = clock.parse("2026-03-06T22:00Z")
ROUND_THE_CLOSE = [(-1, 1.1, 1.2), (0, 1.1, 1.2), (HOUR_MS, 1.1, 1.3)]


def out_of_session() -> list[int]:
    """The stored ticks with the flag, milliseconds after the close."""
    stored = reader.read(feed_id=Feed.objects.get().pk, from_msc=0, to_msc=CLOSE_MSC * 2)
    return [int(at) - CLOSE_MSC for at in stored.ticks["time_msc"][stored.quality & Flag.OUT_OF_SESSION != 0]]


def calendars_recorded() -> list[str | None]:
    return [part.get("calendar") for batch in Batch.objects.order_by("pk") for part in batch.outcome or []]


def test_instruments_get_the_calendar_of_the_rule_and_keep_what_an_operator_chose() -> None:
    make_rig("EURUSD", "NVDA", "XAUUSD")
    Instrument.objects.filter(code="XAUUSD").update(calendar=None, calendar_by="operator")
    Instrument.objects.filter(code="EURUSD").update(calendar=None, calendar_by="")

    make_rig("EURUSD", "NVDA", "XAUUSD", name="another")

    found = Instrument.objects.order_by("code").values_list("code", "calendar__name", "calendar_by")
    assert list(found) == [("EURUSD", "fx", "rule"), ("NVDA", None, "rule"), ("XAUUSD", None, "operator")]


def test_ticks_behind_the_close_are_stored_with_the_flag_and_the_batch_says_by_which_calendar() -> None:
    rig = make_rig("EURUSD")

    pipeline.process(batch_id=capture(rig, make_ticks(ROUND_THE_CLOSE, start_msc=CLOSE_MSC)))

    assert out_of_session() == [0, HOUR_MS]
    assert calendars_recorded() == ["fx:1"]
    assert QuarantinedTick.objects.count() == 0
    assert list(Finding.objects.values_list("cause", "count")) == [("OUT_OF_SESSION", 2)]


def test_an_unknown_session_is_never_closed_and_nothing_is_recorded() -> None:
    rig = make_rig("EURUSD")
    Instrument.objects.update(calendar=None, calendar_by="operator")

    pipeline.process(batch_id=capture(rig, make_ticks(ROUND_THE_CLOSE, start_msc=CLOSE_MSC)))

    assert out_of_session() == []
    assert calendars_recorded() == [None]


@pytest.mark.parametrize("told", [{"scheme": "sim"}, {"scheme": "agent", "server_name": SIM_SERVER}])
def test_the_generated_market_never_closes(told: dict[str, str]) -> None:
    rig = make_rig("EURUSD")
    Source.objects.update(**told)

    pipeline.process(batch_id=capture(rig, make_ticks(ROUND_THE_CLOSE, start_msc=CLOSE_MSC)))

    assert out_of_session() == []


@pytest.fixture
def operator() -> Client:
    user = get_user_model().objects.create_superuser("operator", password="night shift")
    client = Client()
    client.force_login(user)
    return client


def change(client: Client, calendar: SessionCalendar, **texts: str) -> str:
    names = ("zone", "hours", "breaks", "holidays", "rollover")
    form = {name: getattr(calendar, name) for name in names} | texts
    return client.post(f"/admin/reference/sessioncalendar/{calendar.pk}/change/", form).content.decode()


def test_a_changed_calendar_is_the_next_version_judges_what_comes_then_and_is_audited(operator: Client) -> None:
    rig = make_rig("EURUSD")
    calendar = SessionCalendar.objects.get(name="fx")

    change(operator, calendar, hours="Sun 17:00 - Fri 17:01")
    pipeline.process(batch_id=capture(rig, make_ticks(ROUND_THE_CLOSE, start_msc=CLOSE_MSC)))

    assert out_of_session() == [HOUR_MS]
    assert calendars_recorded() == ["fx:2"]
    entry = Entry.objects.get(action="CALENDAR_CHANGED")
    assert (entry.actor, entry.object, entry.details["version"]) == ("operator", "calendar fx", 2)
    assert entry.details["before"]["hours"] == "Sun 17:00 - Fri 17:00"
    assert entry.details["after"]["hours"] == "Sun 17:00 - Fri 17:01"


def test_a_calendar_that_cannot_be_is_refused_with_the_line_that_is_wrong(operator: Client) -> None:
    make_rig("EURUSD")
    calendar = SessionCalendar.objects.get(name="fx")

    page = change(operator, calendar, hours="Mon-Fri 17:00-09:00")

    assert "calendar fx: &#x27;Mon-Fri 17:00-09:00&#x27; ends before it begins" in page
    calendar.refresh_from_db()
    assert calendar.version == 1
    assert not Entry.objects.filter(action="CALENDAR_CHANGED").exists()


def test_an_operator_makes_a_calendar_and_gives_it_to_an_instrument(operator: Client) -> None:
    make_rig("NVDA")
    texts = {"name": "mine", "zone": "UTC", "hours": "Mon-Fri 08:00-20:00\r\nSat 09:00-12:00", "rollover": "00:00"}
    instrument = Instrument.objects.get()

    operator.post("/admin/reference/sessioncalendar/add/", texts)
    mine = SessionCalendar.objects.get(name="mine")
    form = {"digits": 5, "price_basis": "QUOTE", "calendar": mine.pk}
    operator.post(f"/admin/reference/instrument/{instrument.pk}/change/", form)

    assert Instrument.objects.values_list("calendar__name", "calendar_by").get() == ("mine", "operator")
    entries = Entry.objects.filter(action__in=["CALENDAR_CHANGED", "INSTRUMENT_CALENDAR_CHANGED"]).order_by("pk")
    assert [(entry.object, entry.details["before"]) for entry in entries] == [
        ("calendar mine", None),
        ("instrument NVDA", None),
    ]
    assert entries[1].details["after"] == "mine"


def test_a_corrected_clock_judges_the_session_anew(tmp_path: Path) -> None:
    # Recorded by a broker seven hours ahead of New York, played as if its clock were UTC: Saturday night by mistake.
    shown = make_ticks([(-HOUR_MS, 1.1, 1.2), (-1, 1.1, 1.2), (0, 1.1, 1.2)], start_msc=CLOSE_MSC + 2 * HOUR_MS)
    path = tmp_path / "EURUSD.npz"
    np.savez(path, ticks=shown)
    running.capture(f"replay:{path}?symbol=EURUSD&speed=max&name=broker")
    running.drain()
    assert out_of_session() == [HOUR_MS, 2 * HOUR_MS - 1, 2 * HOUR_MS]

    out = StringIO()
    call_command("correct_clock", source="broker", clock="NY+7", json=True, stdout=out, stderr=StringIO())

    assert json.loads(out.getvalue().splitlines()[-1])["moved"] == 3
    assert out_of_session() == [0]
    assert [part["flagged"] for part in Batch.objects.get().outcome or []] == [1]
