"""An agent that reaches the bridge through TLS: it trusts the certificates it is given, and no others."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ingest import queries
from ingest.agent import link, running
from ingest.agent.conversation import Way
from ingest.sources import spec as specs
from tests.crash import recordings
from tests.integration.bridge.conftest import Desk, NewDesk
from tests.integration.bridge.local import LocalBridge
from tests.tls import Certificate, TlsProxy, make_certificate
from tickhub.core import ticks as tick_arrays
from tickhub.core.errors import UsageError
from tickhub.core.ticks import Ticks


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path, "bridge")


@pytest.fixture
def desk(local_bridge: LocalBridge, new_desk: NewDesk) -> Desk:
    return new_desk(local_bridge)


@pytest.fixture
def proxy(local_bridge: LocalBridge, certificate: Certificate) -> Iterator[TlsProxy]:
    with TlsProxy(local_bridge.port, certificate) as running_proxy:
        yield running_proxy


@pytest.fixture
def shown() -> Ticks:
    return recordings.make(500, seconds=60, seed=3)


def run(desk: Desk, folder: Path, shown: Ticks, url: str, trusted: Certificate) -> None:
    """Send a recording to its end."""
    (folder / "token").write_text(desk.token)
    recorded = recordings.write(folder / "X.npz", shown)
    where = link.address(url, folder / "token", ca_file=trusted.path, allows_plain=False)
    way = Way(interval_s=0.05, page_ticks=65_536, until_drained=True, should_stop=lambda: False)
    running.run(specs.parse(f"replay:{recorded}?symbol=X&speed=max"), where, way)


def test_an_agent_that_trusts_the_certificate_delivers_everything(
    desk: Desk, proxy: TlsProxy, certificate: Certificate, shown: Ticks, tmp_path: Path
) -> None:
    run(desk, tmp_path, shown, f"wss://127.0.0.1:{proxy.port}", certificate)

    (found,) = queries.captured_between(source_id=desk.source.pk, from_msc=0, to_msc=1 << 60).values()
    assert np.array_equal(np.sort(tick_arrays.records(found.ticks)), np.sort(tick_arrays.records(shown)))


def test_an_agent_refuses_a_certificate_that_nobody_it_trusts_vouches_for(
    desk: Desk, proxy: TlsProxy, shown: Ticks, tmp_path: Path
) -> None:
    other = make_certificate(tmp_path, "other")

    with pytest.raises(UsageError, match=r"^--bridge wss://127\.0\.0\.1:\d+/ws/ingest: certificate not trusted: self"):
        run(desk, tmp_path, shown, f"wss://127.0.0.1:{proxy.port}", other)


def test_an_agent_refuses_a_certificate_of_another_address(
    desk: Desk, proxy: TlsProxy, certificate: Certificate, shown: Ticks, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="certificate not trusted: Hostname mismatch"):
        run(desk, tmp_path, shown, f"wss://localhost:{proxy.port}", certificate)
