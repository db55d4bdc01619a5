"""Two real recordings of one instrument in one `up`: each is captured whole, into its own feed."""

import pytest

from tests.conftest import recording
from tests.crash.conftest import NewSystem
from tests.crash.system import waited_for


@pytest.mark.timeout(170)
def test_two_real_recordings_of_one_instrument_in_one_up(new_system: NewSystem) -> None:
    fxcm, oanda = recording("eurusd_fxcm_201405.npz"), recording("eurusd_oanda_201405.npz")
    system = new_system()
    system.start(
        f"replay:{fxcm}?symbol=EURUSD&speed=max&name=fxcm&priority=20",
        f"replay:{oanda}?symbol=EURUSD&speed=max&name=oanda&priority=10",
    )

    waited_for(lambda: system.captured() or None, within_s=60)
    code, figures = system.wait(within_s=150)

    story = system.story()
    assert (code, figures.get("lost"), figures.get("stored_twice")) == (0, 0, 0), story
    assert (figures["captured"], figures["stored"]) == (1_677_710, 1_677_710)
    unclear = system.manage("export", "--symbol", "EURUSD", "--out", str(system.data.with_name("x.npz")))
    assert (unclear.returncode, "choose one with --source: " in unclear.stderr) == (2, True)
    for name, path, count in (("fxcm", fxcm, 1_144_807), ("oanda", oanda, 532_903)):
        expected = {"exported": count, "source": count, "missing": 0, "not_of_source": 0}
        assert system.difference(path, "EURUSD", "--source", name) == expected
