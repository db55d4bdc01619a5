"""A poller that hangs is told from one that works, by its own lease and its own heartbeat."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from django.db import connection

from ingest import heartbeat, leases
from ingest.models import Lease
from ingest.sources import spec as specs
from tests.builders import make_ticks
from tests.capturing import make_rig
from tests.integration.embedded.conftest import wait_for
from tests.running import capture
from tickhub import capturing
from tickhub.core import clock
from tickhub.polling import Ending
from tickhub.reference.models import Source
from tickhub.supervisor import plan
from tickhub.supervisor.children import Child
from tickhub.supervisor.plan import Plan
from tickhub.supervisor.pulse import Pulse
from tickhub.supervisor.watchdog import Watchdog

pytestmark = pytest.mark.usefixtures("database")

LONG_S = 1_000.0


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """A running poller in small, of the rig's source; the test beats for it."""
    pulse = Pulse(tmp_path / "heartbeat")
    monkeypatch.setenv(heartbeat.VARIABLE, str(pulse.path))
    child = Child("poller-1", ["sleep", "60"], {}, tmp_path / "log", source=rig_source().name, pulse=pulse)
    child.start()
    yield child
    child.kill()


def rig_source() -> Source:
    """The source of a rig, whose lease the test writes itself."""
    rig = make_rig("EURUSD")
    return Source.objects.get(pk=rig.poller.target.source_id)


def hold(child: Child, *, expired_s: float, holder: str | None = None) -> None:
    """Write the lease of a poller that has run for a while, expired for so long."""
    assert wait_for(lambda: clock.monotonic_s() - child.started_s > 0.1)
    Lease.objects.filter(source__name=child.source).delete()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ingest_lease SELECT id, 1, %s, clock_timestamp() - %s * interval '1 s'"
            " FROM reference_source WHERE name = %s",
            [holder or leases.holder_of(child.pid or 0), expired_s, child.source],
        )


def watchdog(*, hung_after_s: float = LONG_S) -> Watchdog:
    return Watchdog(hung_after_s=hung_after_s, patience_s=0.02, check_s=0.0)


def is_told(dog: Watchdog, child: Child, within_s: float = 3.0) -> bool:
    """Whether it is taken for hung in one of the looks of the next seconds."""
    return wait_for(lambda: bool(dog.hung([child])), within_s=within_s)


def test_a_poller_that_does_not_renew_its_own_lease_hangs(child: Child) -> None:
    hold(child, expired_s=0.01)
    dog = watchdog()

    assert is_told(dog, child)
    assert dog.hung([child]) == [(child, "has not renewed its lease")]


def test_a_lease_that_is_not_the_pollers_own_says_nothing(child: Child) -> None:
    """Another machine's pid, another source's, an earlier container's, and one that was given back."""
    dog = watchdog()

    hold(child, expired_s=0.01, holder=f"another-machine pid {child.pid}")
    assert not is_told(dog, child, within_s=0.2)
    hold(child, expired_s=3_600)
    assert not is_told(dog, child, within_s=0.2)
    hold(child, expired_s=clock.now_msc() / 1000)
    assert not is_told(dog, child, within_s=0.2)
    hold(child, expired_s=0.01)
    child.source = "a source that is no longer configured"
    assert not is_told(dog, child, within_s=0.2)


def test_a_poller_that_asked_for_time_may_be_late_with_its_lease(child: Child) -> None:
    hold(child, expired_s=0.01)
    dog = watchdog()

    heartbeat.beat(extra_s=60)
    assert not is_told(dog, child, within_s=0.2)
    heartbeat.beat()
    assert is_told(dog, child)


def test_a_poller_that_hangs_before_it_has_a_lease_is_told_by_its_silence(child: Child) -> None:
    dog = watchdog(hung_after_s=0.2)

    heartbeat.beat(extra_s=60)
    assert not is_told(dog, child, within_s=0.4)
    heartbeat.beat()
    assert is_told(dog, child)
    assert dog.hung([child]) == [(child, "has been silent for 0.2 s")]


def test_each_poller_has_a_heartbeat_of_its_own_and_knows_its_source(tmp_path: Path) -> None:
    text = "sim:?symbols=EURUSD&rate=1&seed=1&name=desk"
    planned = Plan((text,), ("127.0.0.1", 0), None, 1, tmp_path, {}, None, False, 0, tmp_path)

    first, second = plan.poller(planned, 0), plan.poller(planned, 0)

    assert first.pulse is not None
    assert second.pulse is not None
    assert first.source == specs.parse(text).identity == "desk"
    assert first.environment[heartbeat.VARIABLE] == str(first.pulse.path) != str(second.pulse.path)


def test_what_is_loaded_before_the_lease_is_not_loaded_again_under_it(tmp_path: Path) -> None:
    """Nobody renews a lease while files are read: that may take minutes."""
    path = tmp_path / "EURUSD.npz"
    np.savez(path, ticks=make_ticks([(0, 1.1, 1.2), (5, 1.1, 1.3)]))
    text = f"replay:{path}?speed=max"
    assert capture(text) == 2
    other = leases.acquire(source_id=Source.objects.get().pk, holder="another", ttl_ms=60_000)

    def should_stop() -> bool:
        # Asked for the first time while it waits for the lease, with everything loaded.
        if path.exists():
            path.unlink()
            leases.release(other)
        return False

    ending = Ending(until_drained=True)
    assert capturing.run(text, ending=ending, origin_msc=None, should_stop=should_stop, publish=lambda _: None) == 0
    assert Lease.objects.get().fence == 3


def test_a_poller_has_its_patience_anew_once_a_long_call_has_returned(child: Child) -> None:
    hold(child, expired_s=0.01)
    dog = Watchdog(hung_after_s=LONG_S, patience_s=0.5, check_s=0.0)
    heartbeat.beat(extra_s=60)

    assert not is_told(dog, child, within_s=1.0)
    heartbeat.beat()
    assert dog.hung([child]) == []
    assert is_told(dog, child)
