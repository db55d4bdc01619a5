"""The audit ledger only grows, and says what was done to clocks."""

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from tests.capturing import make_rig
from tickhub.audit import ledger
from tickhub.audit.models import Entry

pytestmark = pytest.mark.usefixtures("database")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET actor = 'nobody'",
        "DELETE FROM audit_entry",
        "DELETE FROM audit_entry WHERE id < 0",
        "TRUNCATE audit_entry",
        "INSERT INTO audit_entry SELECT * FROM audit_entry ON CONFLICT (id) DO UPDATE SET actor = 'x'",
    ],
)
def test_entries_cannot_be_changed_or_removed(statement: str) -> None:
    with transaction.atomic():
        ledger.record(actor="somebody", action="SOMETHING_DONE", about="a thing", details={"n": 1})

    with (
        pytest.raises(DatabaseError, match="the audit ledger only grows"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)

    entry = Entry.objects.get()
    assert (entry.actor, entry.action, entry.object, entry.details) == (
        "somebody",
        "SOMETHING_DONE",
        "a thing",
        {"n": 1},
    )


def test_entry_rolls_back_with_what_it_records() -> None:
    with transaction.atomic():
        ledger.record(actor="somebody", action="SOMETHING_DONE", about="a thing", details={})
        transaction.set_rollback(True)

    assert Entry.objects.count() == 0


@pytest.mark.parametrize("missing", ["actor", "action", "about"])
def test_entry_says_who_did_what_to_what(missing: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        ledger.record(**({"actor": "a", "action": "A", "about": "a", "details": {}} | {missing: ""}))  # type: ignore[arg-type]  # a table of cases


def test_new_source_has_its_epochs_in_the_ledger() -> None:
    make_rig("EURUSD", offset_ms=7_200_000)

    entry = Entry.objects.get()
    assert (entry.actor, entry.action, entry.object) == ("system", "CLOCK_EPOCHS_ADDED", "source hand")
    assert entry.details == {"clock": "+02:00", "evidence": "set by the test", "epochs": [[0, 7_200_000]]}
