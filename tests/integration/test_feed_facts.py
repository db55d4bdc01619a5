"""What terminals say of symbols: kept with its date, changes told once, differences visible and not overwritten."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ingest.sources import spec as specs
from ingest.sources.simulator import LOGIN, Listing, SimulatedTerminal
from ingest.sources.tape import RecordingTape
from quality import lifecycle
from quality.models import Incident
from tests import running
from tests.builders import NOON_MSC, make_ticks
from tests.capturing import make_rig
from tickhub import registering, watching
from tickhub.core import clock
from tickhub.core.errors import UsageError
from tickhub.core.symbols import SymbolFacts
from tickhub.reference import facts
from tickhub.reference.models import Feed, FeedFact, Instrument, Source

pytestmark = pytest.mark.usefixtures("database")

EURO = SymbolFacts(5, 1e-05, 0, 4, 1e-05, 100_000.0, "EUR", "USD", "Forex\\EURUSD")


def test_facts_are_appended_only_when_they_differ() -> None:
    feed_id = make_rig("EURUSD").feeds["EURUSD"].pk

    counts = [facts.record(facts={feed_id: said}) for said in (EURO, EURO, replace(EURO, path="Majors"), EURO)]

    assert counts == [1, 0, 1, 1]
    assert list(FeedFact.objects.order_by("id").values_list("path", flat=True)) == [
        "Forex\\EURUSD",
        "Majors",
        "Forex\\EURUSD",
    ]


def test_a_change_is_told_once_and_a_later_one_again() -> None:
    feed_id = make_rig("EURUSD").feeds["EURUSD"].pk
    facts.record(facts={feed_id: EURO})
    watching.watch()
    assert Incident.objects.count() == 0

    facts.record(facts={feed_id: replace(EURO, path="Majors")})
    watching.watch()
    told = Incident.objects.get()
    lifecycle.resolve(incident_ids=[told.pk], actor="operator")
    watching.watch()
    after_resolving = Incident.objects.exclude(state="RESOLVED").count()
    facts.record(facts={feed_id: replace(EURO, path="Minors")})
    watching.watch()

    assert (told.cause, told.severity, told.feed_id) == ("INSTRUMENT_CHANGED", "WARNING", feed_id)
    assert told.evidence["changed"] == {"path": ["Forex\\EURUSD", "Majors"]}
    assert after_resolving == 0
    assert Incident.objects.exclude(state="RESOLVED").get().evidence["changed"] == {"path": ["Majors", "Minors"]}


def test_decimals_that_differ_from_the_instrument_s_are_told_and_not_taken_over() -> None:
    feed_id = make_rig("EURUSD").feeds["EURUSD"].pk
    facts.record(facts={feed_id: replace(EURO, digits=4)})

    watching.watch()

    incident = Incident.objects.get()
    assert (incident.cause, incident.state, incident.severity) == ("DIGITS_DIFFER", "OPEN", "WARNING")
    assert (incident.evidence["digits"], incident.evidence["instrument_digits"]) == (4, 5)
    assert Instrument.objects.get().digits == 5
    Instrument.objects.update(digits=4)
    watching.watch()
    assert Incident.objects.get().state == "RESOLVED"


def test_capture_records_facts_and_their_change_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = make_ticks([(ms, 1.12345, 1.12346) for ms in range(0, 7_000, 100)])
    np.savez(tmp_path / "EURUSD.npz", ticks=ticks)
    monkeypatch.setenv("TICKHUB_FAULT_FILE", str(tmp_path / "faults.jsonl"))
    fault = {"kind": "digits_changed", "at_msc": clock.now_msc() + 1_000}
    (tmp_path / "faults.jsonl").write_text(json.dumps(fault) + "\n")

    running.capture(f"replay:{tmp_path}/EURUSD.npz?speed=1", for_s=60)

    assert list(FeedFact.objects.order_by("id").values_list("digits", flat=True)) == [5, 6]
    assert Instrument.objects.get().digits == 5


SOURCES = """
[{name}]
path = "terminal64.exe"
login = {login}
password_file = "{folder}/password"
server = "Simulated-Demo"
clock = "UTC"
symbols = ["EURUSD.m"]
{more}
"""


def prepare(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, more: str = "") -> Source:
    """Open and register a real terminal's source, with a simulated one in the package's place."""
    tape = RecordingTape(make_ticks([(0, 1.1, 1.2)]))
    simulated = SimulatedTerminal({"EURUSD.m": Listing(tape)}, now_msc=lambda: NOON_MSC)
    monkeypatch.setitem(sys.modules, "MetaTrader5", simulated)
    (folder / "password").write_text("investor")
    (folder / "sources.toml").write_text(SOURCES.format(name=name, login=LOGIN, folder=folder, more=more))
    monkeypatch.setenv("TICKHUB_SOURCES_FILE", str(folder / "sources.toml"))
    registering.prepare(specs.parse(f"mt5:{name}"), origin_msc=None)
    return Source.objects.get(name=f"mt5:{name}")


def test_sources_of_one_instrument_share_it_under_their_own_symbols_and_priorities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rig("EURUSD")
    prepare("first", tmp_path, monkeypatch, 'suffix = ".m"\npriority = 5')
    prepare("second", tmp_path, monkeypatch, 'instruments = {"EURUSD.m" = "EURUSD"}')
    prepare("third", tmp_path, monkeypatch)

    seen = Feed.objects.order_by("source__priority", "id").values_list(
        "source__name", "symbol", "instrument__code", "mapped_by"
    )
    assert list(seen) == [
        ("mt5:first", "EURUSD.m", "EURUSD", "suffix .m of the sources file"),
        ("hand", "EURUSD", "EURUSD", "the symbol itself"),
        ("mt5:second", "EURUSD.m", "EURUSD", "instruments of the sources file"),
        ("mt5:third", "EURUSD.m", "EURUSD.m", "the symbol itself"),
    ]


def test_priority_set_in_the_admin_stays_where_the_file_does_not_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare("first", tmp_path, monkeypatch)
    Source.objects.update(priority=3)

    assert prepare("first", tmp_path, monkeypatch).priority == 3
    assert prepare("first", tmp_path, monkeypatch, "priority = 9").priority == 9


def test_known_feed_cannot_become_another_instrument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare("first", tmp_path, monkeypatch)

    with pytest.raises(UsageError, match=r"its symbol EURUSD.m is the instrument EURUSD.m and cannot become EURUSD;"):
        prepare("first", tmp_path, monkeypatch, 'suffix = ".m"')

    assert list(Instrument.objects.values_list("code", flat=True)) == ["EURUSD.m"]


def test_no_table_holds_an_account_number_or_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = prepare("first", tmp_path, monkeypatch)

    kept = " ".join(str(value) for value in Source.objects.filter(pk=source.pk).values_list().get())
    assert str(LOGIN) not in kept
    assert "investor" not in kept
