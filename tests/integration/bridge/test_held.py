"""What an agent is told while its source is held, and when it takes that for a rival."""

import datetime as dt

import pytest

from ingest import leases
from ingest.agent.refusals import Refusals
from ingest.bridge import registering
from ingest.bridge.holders import Holders
from ingest.models import Lease
from ingest.wire import closing
from ingest.wire.closing import Closing
from ingest.wire.messages import Hello, Symbol
from tests.builders import NOON_MSC
from tickhub import agents
from tickhub.reference.models import ClockCorrection, Source

HELLO = Hello(1, "a", "test", "Demo", False, 0, NOON_MSC, (Symbol("EURUSD", 5, True, NOON_MSC),))


@pytest.fixture
def source(database: None) -> Source:
    agents.issue(name="desk", clock="UTC", revokes_others=False)
    return Source.objects.get(name="desk")


def test_lease_of_a_process_that_died_is_no_rival_and_one_that_is_prolonged_is(source: Source) -> None:
    held = leases.acquire(source_id=source.pk, holder="bridge old pid 1", ttl_ms=600_000)
    holders = Holders()

    codes = [holders.refusal(source_id=source.pk, name="desk").code for _ in range(3)]
    leases.renew(held)
    codes += [holders.refusal(source_id=source.pk, name="desk").code for _ in range(2)]
    # Another took it over and has not prolonged it yet.
    Lease.objects.update(expires_at=dt.datetime(1970, 1, 1, tzinfo=dt.UTC))
    leases.acquire(source_id=source.pk, holder="bridge new pid 2", ttl_ms=600_000)
    codes.append(holders.refusal(source_id=source.pk, name="desk").code)

    assert codes == [closing.TRY_LATER] * 3 + [closing.HELD] * 2 + [closing.TRY_LATER]


def test_correction_of_the_clock_that_is_under_way_passes(source: Source) -> None:
    ClockCorrection.objects.create(
        source=source,
        old_clock="UTC",
        clock="+01:00",
        actor="test",
        epochs_before=[],
        epochs_after=[],
        made=[],
        days=[],
    )

    with pytest.raises(Closing, match="a correction of its clock is not finished") as refused:
        registering.register(source, HELLO)

    assert refused.value.code == closing.TRY_LATER


def test_refusals_with_an_absence_of_the_bridge_between_them_are_no_rival() -> None:
    refusals = Refusals()

    held = [refusals.is_rival(closing.HELD, now_s=0.0), refusals.is_rival(closing.HELD, now_s=19.0)]
    refusals.passed()
    held += [refusals.is_rival(closing.HELD, now_s=21.0), refusals.is_rival(closing.SILENT, now_s=30.0)]
    held += [refusals.is_rival(closing.HELD, now_s=now_s) for now_s in (42.0, 61.0, 62.1)]

    assert held == [False] * 6 + [True]
