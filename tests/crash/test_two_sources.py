"""Two brokers' real recordings of one instrument in one `up`: each is captured whole, into its own feed."""

import pytest

from tests.conftest import recording
from tests.crash.conftest import NewSystem
from tests.crash.system import waited_for


@pytest.mark.timeout(120)
def test_two_brokers_of_one_instrument_in_one_up(new_system: NewSystem) -> None:
    metaquotes = recording("mt5native_MetaQuotes-Demo_AUDUSD_20230622.npz")
    pepperstone = recording("mt5native_Pepperstone-Demo_AUDUSD_20251107.npz")
    system = new_system()
    system.start(
        f"replay:{metaquotes}?symbol=AUDUSD&speed=max&name=metaquotes&priority=20",
        f"replay:{pepperstone}?symbol=AUDUSD&speed=max&name=pepperstone&priority=10",
    )

    waited_for(lambda: system.captured() or None, within_s=60)
    code, figures = system.wait(within_s=90)

    story = system.story()
    assert (code, figures.get("lost"), figures.get("stored_twice")) == (0, 0, 0), story
    assert (figures["captured"], figures["stored"]) == (6_144, 6_144)
    unclear = system.manage("export", "--symbol", "AUDUSD", "--out", str(system.data.with_name("x.npz")))
    assert (unclear.returncode, "choose one with --source: " in unclear.stderr) == (2, True)
    for name, path, count in (("metaquotes", metaquotes, 4_096), ("pepperstone", pepperstone, 2_048)):
        expected = {"exported": count, "source": count, "missing": 0, "not_of_source": 0}
        assert system.difference(path, "AUDUSD", "--source", name) == expected
